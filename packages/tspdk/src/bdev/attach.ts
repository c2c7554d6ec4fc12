/**
 * What the app core has every reactor do: attach a disk, tell of its removal, detach it, resize, count. Control path, by control calls.
 */
import { defineControl } from '../event/control.ts';
import { Bdev } from './bdev.ts';
import { closeHomeEnd, coverCarried } from './carry.ts';
import { heapReserve } from './heap-reserve.ts';
import { ioRank, RANKS_OF_LEVEL } from './io-rank.ts';
import { IoStat, type ResetStatMode } from './io-stat.ts';
import { coverLocks } from './lba-lock.ts';
import { bdevManager } from './manager.ts';
import { type BdevSpec, bdevModule } from './module.ts';
import { ENODEV } from './status.ts';

/** Makes this reactor's replica. */
export const attachBdev = defineControl('bdev.attach', async (spec: BdevSpec, reactor): Promise<void> => {
  const manager = reactor.local(bdevManager);
  manager.pool.cover(ioRank(spec, RANKS_OF_LEVEL));
  coverLocks(reactor, spec);
  const away = spec.homeCore >= 0 && spec.homeCore !== reactor.core;
  if (away) coverCarried(reactor, spec);
  const backend = away ? null : await bdevModule(spec.moduleName).attach(spec, reactor);
  const bdev = new Bdev(spec, manager, new IoStat());
  bdev.backend = backend;
  manager.byId.set(spec.id, bdev);
  for (const name of [bdev.name, ...bdev.aliases]) manager.byName.set(name, bdev);
});

/** Takes nothing new from now on, ends what waits in the layer or is held back by faults, and tells the owners of descriptors here. */
export const removeBdev = defineControl('bdev.remove', (id: number, reactor): void => {
  const bdev = reactor.local(bdevManager).byId.get(id);
  if (bdev === undefined) return;
  bdev.removing = true;
  for (const channel of bdev.channels) channel.abortQueued(ENODEV);
  bdev.faultSet?.endHeld(ENODEV);
  for (const desc of [...bdev.descs]) desc.notify('remove');
});

/** Resolves when every descriptor and channel here is closed. */
export const awaitBdevReleased = defineControl('bdev.released', async (id: number, reactor): Promise<void> => {
  const bdev = reactor.local(bdevManager).byId.get(id);
  if (bdev === undefined || bdev.released) return;
  await new Promise<void>((resolve) => {
    bdev.onReleased = resolve;
  });
});

/** Forgets the replica; every core has let go. */
export const detachBdev = defineControl('bdev.detach', async (id: number, reactor): Promise<void> => {
  const manager = reactor.local(bdevManager);
  const bdev = manager.byId.get(id);
  if (bdev === undefined) return;
  manager.byId.delete(id);
  for (const name of manager.namesOf(bdev)) manager.byName.delete(name);
  bdev.sampler?.stop();
  bdev.faultSet?.close();
  closeHomeEnd(bdev);
  await new Promise<void>((resolve) => bdev.device.unregister(resolve));
  await bdev.backend?.close();
});

/** A new size, told to the owners of descriptors. */
export const resizeBdev = defineControl('bdev.resize', (payload: { id: number; blocks: number }, reactor): void => {
  const bdev = reactor.local(bdevManager).byId.get(payload.id);
  if (bdev === undefined) return;
  bdev.backend?.resize?.(payload.blocks);
  bdev.blocks = payload.blocks;
  bdev.sizeBytes = payload.blocks * bdev.blockSizeBytes;
  for (const desc of [...bdev.descs]) desc.notify('resize');
});

/** Rates are limited from now on, or not any more. What they are stands in shared memory. */
export const limitBdevRates = defineControl('bdev.qos', (payload: { id: number; on: boolean }, reactor): void => {
  reactor.local(bdevManager).byId.get(payload.id)?.limitRates(payload.on);
});

/** Another name, or one less. */
export const aliasBdev = defineControl(
  'bdev.alias',
  (payload: { id: number; alias: string; add: boolean }, reactor): void => {
    const manager = reactor.local(bdevManager);
    const bdev = manager.byId.get(payload.id);
    if (bdev === undefined) return;
    if (payload.add) {
      bdev.aliases.push(payload.alias);
      manager.byName.set(payload.alias, bdev);
    } else {
      bdev.aliases.splice(bdev.aliases.indexOf(payload.alias), 1);
      manager.byName.delete(payload.alias);
    }
  },
);

export interface BdevStatRequest {
  readonly ids: readonly number[];
  readonly reset: ResetStatMode;
}

/** Counters of one disk on one reactor. */
export interface BdevStatReply {
  readonly id: number;
  readonly words: Float64Array;
  /** By lightweight thread. */
  readonly channels: { readonly thread: number; readonly words: Float64Array }[];
}

/** Reads counters, then resets them. */
export const statBdev = defineControl('bdev.stat', (request: BdevStatRequest, reactor): BdevStatReply[] => {
  const manager = reactor.local(bdevManager);
  const replies: BdevStatReply[] = [];
  for (const id of request.ids) {
    const bdev = manager.byId.get(id);
    if (bdev === undefined) continue;
    const sum = new IoStat();
    bdev.collectStat(sum);
    const channels = [...bdev.channels].map((channel) => ({
      thread: channel.thread?.id ?? 0,
      words: channel.stat.words.slice(),
    }));
    replies.push({ id, words: sum.words, channels });
    if (request.reset === 'none') continue;
    bdev.pastStat.reset(request.reset);
    for (const channel of bdev.channels) channel.stat.reset(request.reset);
  }
  return replies;
});

/** Sizes of the pool of I/Os. */
export const setPoolOptions = defineControl('bdev.options', (payload: { ios: number; growBy: number }, reactor): void =>
  reactor.local(bdevManager).pool.setOptions(payload),
);

/** Every disk has gone, and so does what was kept of the shared heap for their I/Os. */
export const dropHeapReserve = defineControl('bdev.heap_reserve.drop', (_: null, reactor): void =>
  reactor.local(heapReserve).drop(),
);

/** What the layer itself writes from. */
export const setConstants = defineControl(
  'bdev.constants',
  (ids: { zeroes: number; octets: number }, reactor): void => {
    const manager = reactor.local(bdevManager);
    manager.zeroes = reactor.segments.get(ids.zeroes);
    manager.octets = reactor.segments.get(ids.octets);
  },
);
