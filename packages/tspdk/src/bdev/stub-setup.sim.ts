/**
 * What the tests of the block layer start from: a stub disk on one reactor, open, with a channel and a list of what completed.
 */
import type { IoBuf, IoBufChannel } from '../env/iobuf.ts';
import { type BdevIo, BdevIoPool } from './bdev-io.ts';
import type { BdevChannel } from './channel.ts';
import { type Cluster, type ClusterOptions, startCluster, TestClock } from './cluster.sim.ts';
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

/** The pool has `more` BdevIos, and then none, or none but for ranks below `rank`. Returns what ends that, and has it serve who waits. */
export function takeBdevIos(pool: BdevIoPool, more = 0, rank = 0): () => void {
  const taken: BdevIo[] = [];
  const { get } = BdevIoPool.prototype;
  let left = more;
  const takeAll = (): null => {
    Reflect.deleteProperty(pool, 'get');
    for (let io = pool.get(rank); io !== null; io = pool.get(rank)) taken.push(io);
    return null;
  };
  if (left === 0) takeAll();
  else pool.get = (asked) => (left-- > 0 ? get.call(pool, asked) : takeAll());
  return () => {
    Reflect.deleteProperty(pool, 'get');
    for (const io of taken.splice(0)) pool.put(io);
    pool.wake();
  };
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

/** Stub disk S, open on each core of a cluster, with a channel there; what completes goes to `done`. Closed when it goes. */
export async function onCores(options: ClusterOptions, params: Partial<StubParams> = {}) {
  const cluster = await startCluster(options);
  const bdev = await make(cluster, { name: 'S', ...params });
  const cores = cluster.reactors.map((_, core) => {
    const onEvent = (event: BdevEvent) => event === 'remove' && desc.close();
    const desc = cluster.on(core, () => BdevDesc.open('S', { write: bdev.writable, onEvent }));
    return { desc, channel: cluster.on(core, () => desc.getIoChannel()), stub: stubChannel('S', core) };
  });
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  const buf = cluster.memory(65536);
  const close = async (): Promise<void> => {
    for (const { desc } of cores) desc.close();
    await cluster.close();
  };
  return { cluster, bdev, cores, done, cb, buf, close };
}

/** The same, whose time passes only when a test says so. */
export async function timed(reactors: number, params: Partial<StubParams> = {}) {
  const clock = new TestClock();
  const parts = await onCores({ reactors, clock, roundUs: 0 }, { blocks: 1 << 20, ...params });
  const { cluster, cores } = parts;
  /** All that is with the module ends `us` from now. @returns how much that was */
  const serve = (us = 0): number => {
    let count = 0;
    cluster.turns();
    clock.nowUs += us;
    for (const { stub } of cores) {
      count += stub.outstanding.length;
      stub.complete(stub.outstanding.length);
    }
    cluster.turns();
    return count;
  };
  return { ...parts, buf: cluster.memory(1 << 20), clock, serve };
}

/** Locks of stub disk S on several cores; what happens goes to `log`. */
export async function lockable(reactors: number, types?: number) {
  const { done: log, ...parts } = await onCores({ reactors }, types === undefined ? {} : { ioTypes: types });
  const lock = (core: number, name: string, from: number, blocks: number, quiesce = false) =>
    lockRange(parts.cores[core].desc.bdev, from * 512, blocks * 512, quiesce, (status) =>
      log.push(`${name} ${status === 0 ? 'held' : status}`),
    );
  return { ...parts, log, lock };
}

/** One core's: a stub disk, open, with a channel and a list of what completed. */
export async function setUp(params: Partial<StubParams> = {}) {
  const { cores, close: tearDown, ...parts } = await onCores({}, params);
  return { ...parts, ...cores[0], tearDown };
}
