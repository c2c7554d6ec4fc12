// From two cells to a report: which class of race, who, where, on which memory. Runs once for each pair of places.

import type { Access, Kind, Location, Op, Report, Thread } from '../report/report.ts';
import { epochOf, type Found, kindOf, maskOf, slotOf } from './checker.ts';
import { Cell } from './clock.ts';
import { benignDoubles, Header, maxBenign } from './control.ts';
import type { Runtime } from './runtime.ts';
import { framesOf } from './sites.ts';
import { recordOf, uidAt } from './thread-table.ts';

const { load } = Atomics;

export class RaceReporter {
  readonly #runtime: Runtime;
  readonly #seen = new Set<string>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Races of this range are meant, whichever thread finds them. */
  benign(buffer: number, from: number, to: number): void {
    const { control } = this.#runtime;
    const index = control.take(Header.benign);
    if (index < maxBenign) control.benign.set([from, to, buffer], index * benignDoubles);
  }

  #isBenign({ buffer, offset, current, previous }: Found): boolean {
    const mask = maskOf(current) & maskOf(previous);
    const first = offset + 31 - Math.clz32(mask & -mask);
    const end = offset + 32 - Math.clz32(mask);
    const { benign, header } = this.#runtime.control;
    const count = Math.min(load(header, Header.benign), maxBenign);
    for (let at = 0; at < count * benignDoubles; at += benignDoubles) {
      if (benign[at + 2] === buffer.id && benign[at]! <= first && end <= benign[at + 1]!) return true;
    }
    return false;
  }

  found(race: Found): void {
    const { options, emit } = this.#runtime;
    if (this.#isBenign(race)) return;
    const kind = classOf(race.current, race.previous);
    const key = `${race.currentWord} ${race.previousWord} ${kind}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    if (kind === 'plain/atomic' && !options.report_atomic_races) return;
    emit(this.#report(race, kind));
  }

  #report(race: Found, kind: Kind): Report {
    const { control, clock } = this.#runtime;
    const other = uidAt(control, slotOf(race.previous), epochOf(race.previous));
    const current = access(race, race.current, clock.uid);
    const here = this.#runtime.stack(race.currentWord);
    const accesses = [
      {
        ...current,
        locks: this.#runtime.heldLocks(),
        stack: here.length > 0 ? here : framesOf(control, race.currentWord),
      },
      { ...access(race, race.previous, other), stack: framesOf(control, race.previousWord) },
    ];
    const { buffer } = race;
    const location: Location = {
      buffer: buffer.id,
      size: buffer.bytesMax,
      thread: buffer.creator,
      stack: framesOf(control, buffer.creatorWord),
    };
    const rule = kind === 'mixed-size' ? 'atomics of different ranges do not order one another' : undefined;
    return {
      kind,
      title: 'data race',
      ...(rule === undefined ? {} : { rule }),
      accesses,
      location,
      threads: threadsOf(this.#runtime, [clock.uid, other, buffer.creator]),
    };
  }
}

/** Everybody named, with whoever created them. */
export function threadsOf({ control }: Runtime, uids: readonly number[]): Thread[] {
  const all = new Set(uids);
  for (const uid of all) {
    const parent = recordOf(control, uid)?.parent;
    if (parent !== undefined && parent >= 0) all.add(parent);
  }
  return [...all]
    .sort((a, b) => a - b)
    .map((uid) => {
      const record = recordOf(control, uid);
      if (record === undefined) return { id: uid, tid: -1, running: false };
      const { tid, running, name, parent, word } = record;
      const created = parent < 0 ? {} : { parent, stack: framesOf(control, word) };
      return { id: uid, tid, running, ...(name === '' ? {} : { name }), ...created };
    });
}

function classOf(current: number, previous: number): Kind {
  const kinds = [kindOf(current), kindOf(previous)] as const;
  const atomics = kinds.filter((kind) => (kind & Cell.atomic) !== 0).length;
  if (atomics === 2) return 'mixed-size';
  if (atomics === 1) return 'plain/atomic';
  return ((kinds[0] | kinds[1]) & Cell.tear) !== 0 ? 'may-tear' : 'plain/plain';
}

function access({ offset }: Found, cell: number, thread: number): Omit<Access, 'stack'> {
  const mask = maskOf(cell);
  const first = 31 - Math.clz32(mask & -mask);
  const size = 32 - Math.clz32(mask) - first;
  return { op: opOf(kindOf(cell)), size, offset: offset + first, thread };
}

function opOf(kind: number): Op {
  const word = (kind & Cell.write) === 0 ? 'read' : 'write';
  return (kind & Cell.atomic) === 0 ? word : `atomic ${word}`;
}
