// Every benchmark, in the order in which they run. A benchmark is a file of its own beside this one; it is added here.

import { events } from './events.ts';
import type { Benchmark } from './harness.ts';
import { roundTrip } from './round-trip.ts';

export const benchmarks: readonly Benchmark[] = [events, roundTrip];
