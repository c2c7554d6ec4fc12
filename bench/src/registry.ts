// Every benchmark, in the order in which they run. A benchmark is a file of its own beside this one; it is added here.

import { bdev } from './bdev.ts';
import { events } from './events.ts';
import type { Benchmark } from './harness.ts';
import { nbd, nbdUnix } from './nbd.ts';
import { pollers } from './pollers.ts';
import { rbd } from './rbd.ts';
import { roundTrip } from './round-trip.ts';
import { stacks } from './stacks.ts';
import { target } from './target.ts';
import { tsan } from './tsan/tsan.ts';
import { userDisk } from './user-disk.ts';

export const benchmarks: readonly Benchmark[] = [
  events,
  roundTrip,
  pollers,
  bdev,
  stacks,
  nbd,
  nbdUnix,
  rbd,
  userDisk,
  rbd,
  target,
  tsan,
];
