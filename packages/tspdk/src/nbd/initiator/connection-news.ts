/**
 * What the connections of a remote disk, wherever they are, tell the app core: that they are lost and answer again, which become notifications, and that the export has grown, which becomes the disk's size. Control path.
 *
 * A disk may have many connections. It is lost with the first of them, and back with the last.
 */
import { bdevRegistry } from '../../bdev/index.ts';
import { explain } from '../../env/errors.ts';
import { defineControl } from '../../event/control.ts';
import { localKey, type Reactor } from '../../event/index.ts';
import { log } from '../../log/index.ts';
import { notifyOf } from '../../notify/index.ts';

export const NBD_LOST_EVENT = 'bdev_nbd_lost';
export const NBD_BACK_EVENT = 'bdev_nbd_back';

const newsLog = log.register('bdev_nbd');

/** How many connections are lost, by the disk's id. */
const lostConnections = localKey('bdev_nbd_lost', () => new Map<number, number>());

interface ConnectionNews {
  readonly id: number;
  readonly name: string;
  /** 'closed': it was lost, and nobody wants it any more. */
  readonly what: 'lost' | 'back' | 'closed';
}

const tellConnection = defineControl('nbd.client.connection', ({ id, name, what }: ConnectionNews, reactor): void => {
  const lost = reactor.local(lostConnections);
  const before = lost.get(id) ?? 0;
  const now = what === 'lost' ? before + 1 : before - 1;
  if (now > 0) lost.set(id, now);
  else lost.delete(id);
  if (what === 'lost' && before === 0) notifyOf(reactor).send(NBD_LOST_EVENT, name);
  else if (what === 'back' && now === 0) notifyOf(reactor).send(NBD_BACK_EVENT, name);
});

const growNbdBdev = defineControl('nbd.client.grow', async (news: { id: number; blocks: number }, reactor) => {
  const registry = bdevRegistry(reactor);
  const bdev = registry.list().find(({ id }) => id === news.id);
  if (bdev === undefined || !bdev.ready || news.blocks <= bdev.blocks) return;
  newsLog.notice(`bdev "${bdev.name}": the export has grown from ${bdev.blocks} to ${news.blocks} blocks`);
  await registry.resize(bdev.name, news.blocks);
});

/** Makes the notifications known. App core. */
export function registerNbdEvents(reactor: Reactor): void {
  for (const type of [NBD_LOST_EVENT, NBD_BACK_EVENT]) notifyOf(reactor).registerType(type);
}

/** Any core. An application that ends hears no news. */
export function sendConnectionNews(reactor: Reactor, news: ConnectionNews): void {
  reactor.app.call(reactor.app.mainCore, tellConnection, news).catch(() => {});
}

/** Any core. */
export function sendGrown(reactor: Reactor, name: string, id: number, blocks: number): void {
  reactor.app.call(reactor.app.mainCore, growNbdBdev, { id, blocks }).catch((error: unknown) => {
    newsLog.warn(`bdev "${name}" keeps its size: ${explain(error)}`);
  });
}
