/**
 * Where the next I/O of a job goes: places are counted in I/O sizes, from 0. Data path.
 */
import { IntRandom } from './int-random.ts';
import type { PerfOptions } from './options.ts';
import { WORKLOADS } from './workload.ts';
import { Zipf } from './zipf.ts';

export interface Places {
  /** One of them. */
  next(): number;
}

/** One after the other, and from the last to the first. */
export class SequentialPlaces implements Places {
  readonly #places: number;
  #at = 0;

  constructor(places: number) {
    this.#places = places;
  }

  next(): number {
    const at = this.#at;
    this.#at = at + 1 === this.#places ? 0 : at + 1;
    return at;
  }
}

/** Each as likely as any other. */
export class UniformPlaces implements Places {
  readonly #places: number;
  readonly #random: IntRandom;

  constructor(places: number, seed: number) {
    this.#places = places;
    this.#random = new IntRandom(seed);
  }

  next(): number {
    return this.#random.below(this.#places);
  }
}

/** As the workload wants them. Control path. `places` is below 2^31. */
export function makePlaces(options: PerfOptions, places: number, seed: number): Places {
  if (!WORKLOADS[options.workload].random) return new SequentialPlaces(places);
  if (options.zipfTheta > 0) return new Zipf(places, options.zipfTheta, seed);
  return new UniformPlaces(places, seed);
}
