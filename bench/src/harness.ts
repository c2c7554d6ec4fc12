// What a benchmark is, and the arithmetic that all of them share.
//
// A figure means little on its own on a machine that others use too, so it stands beside a peer measured in the same run: `alternate` takes
// ours and the peer's in turns, and the medians are compared. A ratio is always "how many times better we are", whichever way
// the unit points, so that a target is always "at least".

/** One line of the result, as the table shows it and `--json` prints it. */
export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What it is compared with, and the peer's value in the same unit. */
  readonly peer?: string;
  readonly peerValue?: number;
  /** Better ÷ worse in our favour: above 1 we are ahead. */
  readonly ratio?: number;
  /** What must be reached: a ratio where there is a peer, else a value. Left out, with `ok`, when nothing is asked. */
  readonly target?: number;
  readonly ok?: boolean;
}

/** Which way a figure is better. */
export type Better = 'higher' | 'lower';

/** What a benchmark measured, before it is judged. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly better: Better;
  readonly peer?: { readonly name: string; readonly value: number };
  /** With a peer: the least ratio. Without: the worst acceptable value. */
  readonly target?: number;
}

/** A named set of measurements. `run` reports what it is doing through `say` (stderr), and leaves nothing running behind. */
export interface Benchmark {
  readonly name: string;
  readonly about: string;
  run(say: (line: string) => void): Promise<readonly Row[]>;
}

/** Judges one figure against its peer and its target. */
export function row(figure: Figure): Row {
  const { name, value, unit, better, peer, target } = figure;
  const ratio = peer && (better === 'higher' ? value / peer.value : peer.value / value);
  const compared = peer === undefined ? {} : { peer: peer.name, peerValue: peer.value, ratio: ratio as number };
  if (target === undefined) return { name, value, unit, ...compared };
  const ok = ratio !== undefined ? ratio >= target : better === 'higher' ? value >= target : value <= target;
  return { name, value, unit, ...compared, target, ok };
}

/** The middle of `values`; of an even number of them, the mean of the middle two. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('the median of no values');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** One run of something: the figures it gave, by name. */
export type Sample<Name extends string> = () => Promise<Readonly<Record<Name, number>>>;

/** Runs `ours` and `peer` in turns, `runs` times each (at least 5), and gives the median of each of their figures. Who goes first alternates too. */
export async function alternate<Name extends string>(
  ours: Sample<Name>,
  peer: Sample<Name>,
  runs = 5,
): Promise<{ readonly ours: Record<Name, number>; readonly peer: Record<Name, number> }> {
  if (runs < 5) throw new RangeError(`${runs} runs: a median needs at least 5`);
  const mine: Readonly<Record<Name, number>>[] = [];
  const theirs: Readonly<Record<Name, number>>[] = [];
  for (let i = 0; i < runs; i++) {
    const turns = [async () => mine.push(await ours()), async () => theirs.push(await peer())];
    if (i % 2 === 1) turns.reverse();
    for (const turn of turns) await turn();
  }
  return { ours: medians(mine), peer: medians(theirs) };
}

function medians<Name extends string>(samples: readonly Readonly<Record<Name, number>>[]): Record<Name, number> {
  const names = Object.keys(samples[0] as object) as Name[];
  return Object.fromEntries(names.map((name) => [name, median(samples.map((sample) => sample[name]))])) as Record<
    Name,
    number
  >;
}
