/** Counters of disks, added up over all cores. Control path, app core. */
import type { Reactor } from '../event/reactor.ts';
import { statBdev } from './attach.ts';
import type { Bdev } from './bdev.ts';
import { callAll } from './call-all.ts';
import { IoStat, type ResetStatMode } from './io-stat.ts';

/** Counters of a disk, over all reactors. */
export interface BdevStat {
  readonly bdev: Bdev;
  readonly stat: IoStat;
  readonly channels: { readonly thread: number; readonly stat: IoStat }[];
}

/** Counters of `bdevs`, read and then reset as `reset` says. */
export async function collectStats(
  reactor: Reactor,
  bdevs: readonly Bdev[],
  reset: ResetStatMode,
): Promise<BdevStat[]> {
  const stats: BdevStat[] = bdevs.map((bdev) => ({ bdev, stat: new IoStat(), channels: [] }));
  const replies = await callAll(reactor, statBdev, { ids: bdevs.map((bdev) => bdev.id), reset });
  for (const reply of replies.flat()) {
    const entry = stats.find((stat) => stat.bdev.id === reply.id);
    entry?.stat.add(new IoStat(reply.words));
    for (const channel of reply.channels) {
      entry?.channels.push({ thread: channel.thread, stat: new IoStat(channel.words) });
    }
  }
  return stats;
}
