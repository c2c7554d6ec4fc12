/** What the tests of the NBD initiator share: a disk of what a scripted server exports. */
import assert from 'node:assert/strict';
import { type Bdev, type BdevChannel, BdevDesc, bdevRegistry } from '../../bdev/index.ts';
import type { Segment } from '../../env/segment.ts';
import type { App } from '../../event/index.ts';
import { withTarget } from '../target-fixture.sim.ts';
import type { ScriptedServer } from './server.sim.ts';

type Submit = (cb: (ctx: unknown, status: number) => void) => number;

/** One I/O; its status. */
export function io(app: App, submit: Submit): Promise<number> {
  return new Promise((resolve) => {
    const rc = submit((_, status) => resolve(status));
    if (rc !== 0) resolve(rc);
    app.reactor.kick();
  });
}

export interface Remote {
  readonly app: App;
  readonly bdev: Bdev;
  readonly channel: BdevChannel;
  readonly memory: Segment;
}

export const create = (app: App, uri: string, more: object = {}): Promise<Bdev> =>
  bdevRegistry(app.reactor).create('nbd', { name: 'R', uri, reconnect_delay_ms: 5, ...more });

/** A disk of what `server` exports, and what an app has at its end: nothing. */
export async function withRemote(
  server: ScriptedServer,
  body: (remote: Remote) => Promise<void>,
  more: object = {},
): Promise<void> {
  const rc = await withTarget(async ({ app }) => {
    const bdev = await create(app, server.uri, more);
    // Somebody looks for partitions.
    await bdevRegistry(app.reactor).waitForExamine();
    server.asked.length = 0;
    const memory = await app.shareSegment(1 << 20);
    const desc = BdevDesc.open('R', { write: bdev.writable, reactor: app.reactor, onEvent: () => {} });
    try {
      await body({ app, bdev, channel: desc.getIoChannel(), memory: app.reactor.segments.get(memory.id) });
    } finally {
      desc.close();
      await bdevRegistry(app.reactor).delete('R');
      await app.dropSegment(memory);
      await server.close();
    }
  });
  assert.equal(rc, 0, 'nothing leaked');
}
