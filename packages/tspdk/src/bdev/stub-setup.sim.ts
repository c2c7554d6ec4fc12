/**
 * What the tests of the block layer start from: a stub disk on one reactor, open, with a channel and a list of what completed.
 */
import type { IoBuf, IoBufChannel } from '../env/iobuf.ts';
import type { BdevChannel } from './channel.ts';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc, type BdevEvent } from './desc.ts';
import { lockRange } from './lba-lock.ts';
import { type StubParams, stubChannel } from './stub-module.sim.ts';

export const make = (cluster: Cluster, params: StubParams) => cluster.until(cluster.bdevs.create('stub', params));
export const open = (cluster: Cluster, name: string, write = true, events: string[] = []) =>
  cluster.on(0, () =>
    BdevDesc.open(name, { write, onEvent: (event: BdevEvent, bdev) => void events.push(`${event} ${bdev.name}`) }),
  );
export const channelOf = (cluster: Cluster, desc: BdevDesc): BdevChannel => cluster.on(0, () => desc.getIoChannel());

/** More than any test has. */
const RANKS = 32;

/** Every large buffer that there is, those of the reserve too. */
export function takeLargeBuffers(iobuf: Pick<IoBufChannel, 'getLargeOf'>): IoBuf[] {
  const taken: IoBuf[] = [];
  for (let rank = 0; rank < RANKS; rank++) {
    for (let buf = iobuf.getLargeOf(rank); buf !== null; buf = iobuf.getLargeOf(rank)) taken.push(buf);
  }
  return taken;
}

/** Runs one I/O to its end: its status, or why it was refused. */
export async function runIo(
  cluster: Cluster,
  start: (cb: (ctx: unknown, status: number) => void) => number,
): Promise<number> {
  let result: number | undefined;
  const rc = start((_, status) => {
    result = status;
  });
  if (rc !== 0) return rc;
  await cluster.untilTrue(() => result !== undefined);
  return result as number;
}

/** Locks of stub disk S on several cores; what happens goes to `log`. */
export async function lockable(reactors: number, types?: number) {
  const cluster = await startCluster({ reactors });
  await make(cluster, { name: 'S', ...(types === undefined ? {} : { ioTypes: types }) });
  const cores = Array.from({ length: reactors }, (_, core) => {
    const desc = cluster.on(core, () => BdevDesc.open('S', { write: true, onEvent: () => {} }));
    const channel = cluster.on(core, () => desc.getIoChannel());
    return { desc, channel, stub: stubChannel('S', core) };
  });
  const log: string[] = [];
  const buf = cluster.memory(65536);
  const cb = (ctx: unknown, status: number) => void log.push(`${ctx} ${status}`);
  const lock = (core: number, name: string, from: number, blocks: number, quiesce = false) =>
    lockRange(cores[core].desc.bdev, from * 512, blocks * 512, quiesce, (status) =>
      log.push(`${name} ${status === 0 ? 'held' : status}`),
    );
  const close = async (): Promise<void> => {
    for (const { desc } of cores) desc.close();
    await cluster.close();
  };
  return { cluster, cores, log, buf, cb, lock, close };
}

/** A stub disk, open, with a channel and a list of what completed. */
export async function setUp(params: Partial<StubParams> = {}) {
  const cluster = await startCluster();
  await make(cluster, { name: 'S', ...params });
  const desc = open(cluster, 'S', params.writable ?? true);
  const channel = channelOf(cluster, desc);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  const buf = cluster.memory(65536);
  const tearDown = async (): Promise<void> => {
    desc.close();
    await cluster.close();
  };
  return { cluster, desc, channel, done, cb, buf, stub: stubChannel('S'), tearDown };
}
