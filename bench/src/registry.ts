// Every benchmark, in the order in which they run. A benchmark is a file of its own beside this one; it is added here.

import type { Benchmark } from './harness.ts';

export const benchmarks: readonly Benchmark[] = [];
