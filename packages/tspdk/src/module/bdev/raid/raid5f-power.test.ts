/**
 * raid5f under power cuts. Every prefix of the log of all members' writes is looked at, as it is and with some of the blocks in the disks' caches gone, and at each the raid must assemble. What it
 * promises then, and what it cannot:
 *
 * - A strip on a member that the superblock calls good holds, in each of its blocks, what was acknowledged and flushed or something that was written later: so all of the disk while no member is
 *   missing, whatever became of the parity.
 * - A stripe that nobody has begun to write since the flush has the parity of what was flushed: any one member may be missing, before, at or after the cut.
 * - A stripe that was being written may be torn: its strips are of different writes and its parity is of none. With a member missing, that member's blocks of it are then made of what does not
 *   belong together, and hold neither what was there nor what was to come (the write hole). No other stripe is touched, as parity is never made of what is not written with it: what is lost
 *   is in the range of a write that was not acknowledged.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allGood, contents, setUpRaid } from './raid-setup.sim.ts';
import '../logwrites/logwrites-bdev.ts';
import { AfterPower, assemble, type CrashPoint, powerWorkload } from './raid-power.sim.ts';

const STRIP = 2;
const DATA_BLOCKS = 24;

/** What a crash point says to whoever knows the layout, which is worked out here once more. */
class Stripes {
  readonly #after: AfterPower;
  /** By member, the number that each of its blocks is full of. */
  readonly #values: readonly Uint32Array[];
  readonly #point: CrashPoint;
  readonly #missing: number;
  readonly #made: number;
  readonly #what: string;
  /** By block of the disk, what is read: the number of a write, or, where a member is missing, whatever the others make of it. */
  readonly found: Uint32Array;
  /** Blocks that hold neither what was there nor what was to come. */
  holes = 0;

  /**
   * @param missing a member, or -1
   * @param made a member that was made of the others after the cut, or is missing
   */
  constructor(after: AfterPower, values: readonly Uint32Array[], point: CrashPoint, missing: number, made = missing) {
    this.#after = after;
    this.#values = values;
    this.#point = point;
    this.#missing = missing;
    this.#made = made;
    this.#what = `${point.at}${missing < 0 ? '' : `, without member ${missing}`}`;
    this.found = new Uint32Array(point.ids.length);
    for (let row = 0; row < DATA_BLOCKS; row++) this.#row(row);
  }

  /** The blocks at the same place of all members: the parity moves from the last one down, stripe by stripe. */
  #row(row: number): void {
    const { ids, quiet } = this.#point;
    const members = this.#values.length;
    const stripe = Math.floor(row / STRIP);
    const parity = members - 1 - (stripe % members);
    const values = this.#values.map((each, i) => (i === this.#missing ? 0 : each[row]));
    const sum = values.reduce((a, b) => a ^ b, 0) >>> 0;
    if (this.#missing >= 0) values[this.#missing] = sum;
    let k = 0;
    let undisturbed = true;
    for (let member = 0; member < members; member++) {
      if (member === parity) continue;
      const block = (stripe * (members - 1) + k++) * STRIP + (row % STRIP);
      this.found[block] = values[member];
      undisturbed &&= quiet[block] === 1;
      if (quiet[block] === 1)
        assert.equal(values[member], ids[block], `${this.#what}: block ${block} of a stripe at rest`);
      else if (member !== this.#missing && member !== this.#made)
        this.#after.check(block, values[member], ids, this.#what);
      else if (!this.#explains(block, values[member])) this.holes++;
    }
    if (this.#missing < 0 && undisturbed) assert.equal(sum, 0, `${this.#what}: parity of stripe ${stripe}, at rest`);
  }

  #explains(block: number, id: number): boolean {
    try {
      this.#after.check(block, id, this.#point.ids, this.#what);
      return true;
    } catch {
      return false;
    }
  }
}

const valuesOf = (after: AfterPower, { bytes, at }: CrashPoint): Uint32Array[] =>
  bytes.map((each, i) => Uint32Array.from({ length: DATA_BLOCKS }, (_, row) => after.idAt(each, row, `${at}: ${i}`)));

interface Counts {
  points: number;
  degraded: number;
  holes: number;
  rebuilt: number;
}

/** Looks at every crash point. */
async function cutEverywhere(seed: number, members: number, counts: Counts): Promise<void> {
  const { run, log } = await powerWorkload('raid5f', seed, members, DATA_BLOCKS);
  const { cluster, raids } = await setUpRaid();
  raids.options.process_window_size_kb = 1;
  const after = await AfterPower.start(cluster, run, seed);
  const disks = Array.from({ length: members }, (_, i) => cluster.bdevs.get(`I${i}`));
  const reads = async ({ found }: Stripes, what: string): Promise<void> => {
    const bytes = await contents(cluster, 'R');
    for (const [block, id] of found.entries()) assert.equal(after.idAt(bytes, block, what, 0), id, `${what}: ${block}`);
  };
  let looks = 0;
  await after.replay(log, async (point) => {
    looks++;
    // In any order.
    const order = looks % 2 === 0 ? disks : [...disks].reverse();
    // Most are only looked at.
    const rebuild = looks % 64 === 0;
    raids.options.process_max_bandwidth_mb_sec = rebuild ? 0 : 1;
    const raid = await assemble(cluster, order, point);
    if (raid === null) return;
    const lacks = raid.slots.filter((slot) => !slot.good).map(({ index }) => index);
    assert.ok(lacks.length <= 1);
    const values = valuesOf(after, point);
    const found = new Stripes(after, values, point, lacks[0] ?? -1);
    if (lacks.length > 0) {
      counts.degraded++;
      counts.holes += found.holes;
    } else for (let i = 0; i < members; i++) counts.holes += new Stripes(after, values, point, i).holes;
    if (looks % 16 === 0) await reads(found, `${point.at}: what it reads`);
    if (rebuild && lacks.length > 0) {
      counts.rebuilt++;
      await allGood(cluster);
      await reads(found, `${point.at}: what it reads once it is rebuilt`);
      const rebuilt = valuesOf(after, point);
      for (let i = 0; i < members; i++) {
        const without = new Stripes(after, rebuilt, point, i, lacks[0]);
        assert.deepEqual(without.found, found.found, `${point.at}: rebuilt, and without member ${i}`);
      }
    }
    await cluster.until(raids.delete('R'));
    assert.deepEqual(raids.list(), []);
  });
  await cluster.close();
  counts.points += after.points;
}

test('2,000 and more power cuts, with three members and with four', async (t) => {
  const counts = { points: 0, degraded: 0, holes: 0, rebuilt: 0 };
  for (let seed = 1; counts.points < 2000; seed++) await cutEverywhere(seed, 3 + (seed % 2), counts);
  const { points, degraded, holes, rebuilt } = counts;
  t.diagnostic(
    `${points} crash points, ${degraded} looks at a raid without a member, ${rebuilt} of them until it was rebuilt`,
  );
  assert.ok(points >= 2000 && degraded > 0 && rebuilt > 0);
  // Were there none, the limit that docs/disks/raid.md names would be none.
  assert.ok(holes > 0, 'the write hole');
});
