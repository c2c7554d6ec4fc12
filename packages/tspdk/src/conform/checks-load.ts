/** Checks with many I/Os at once: beside each other, over each other, from several cores, given up, and cut off. */

import { BdevDesc, bdevRegistry } from '../bdev/index.ts';
import { ECANCELED, ENODEV } from '../bdev/status.ts';
import { Random } from '../env/random.ts';
import type { Check } from './check.ts';
import { readThere } from './control.ts';
import {
  codeOf,
  compare,
  type DiskUnderTest,
  fail,
  NotForThisDisk,
  pattern,
  patternOf,
  statusText,
} from './disk-under-test.ts';

const DEPTH = 32;

/** Starts `count` I/Os of a unit at once, reads and, on a disk that takes them, writes; gives their statuses when all have ended. */
function load(disk: DiskUnderTest, count: number, ctx: unknown = null): { buffers: number[]; ends: Promise<number[]> } {
  const { unit, channel, memory } = disk;
  const span = Math.max(1, Math.min(disk.units, count));
  const round = disk.round();
  const buffers: number[] = [];
  const ends: Promise<number>[] = [];
  for (let i = 0; i < count; i++) {
    const at = (i % span) * unit;
    const buffer = disk.take(unit);
    buffers.push(buffer);
    const writes = disk.bdev.writable && i % 2 === 0;
    if (writes) pattern(memory.u8, buffer, at, unit, round);
    ends.push(
      disk.io(`${writes ? 'write' : 'read'} of ${unit} bytes at ${at}, one of ${count}`, (cb) => {
        const done = (_: unknown, status: number) => cb(null, status);
        return writes
          ? channel.write(memory, buffer, at, unit, done, ctx)
          : channel.read(memory, buffer, at, unit, done, ctx);
      }),
    );
  }
  return { buffers, ends: Promise.all(ends) };
}

/** Each of `statuses` is 0 or one of `allowed`. */
function onlyStatuses(statuses: readonly number[], allowed: readonly number[], when: string): void {
  const wrong = statuses.find((status) => status !== 0 && !allowed.includes(status));
  if (wrong === undefined) return;
  fail(`I/Os ${when} to end with ${[0, ...allowed].map(statusText).join(' or ')}`, statusText(wrong));
}

export const loadChecks: readonly Check[] = [
  {
    name: 'concurrent',
    summary: 'writes of different blocks at once all arrive, and reads at once all get theirs',
    async run(disk) {
      disk.needsWrite();
      const { unit } = disk;
      const count = Math.min(disk.units, 64);
      const round = disk.round();
      await Promise.all(Array.from({ length: count }, (_, i) => disk.write(i * unit, unit, round)));
      disk.begin();
      await Promise.all(Array.from({ length: count }, (_, i) => disk.holds(i * unit, unit, round)));
    },
  },
  {
    name: 'overlapped',
    summary: 'of writes of the same blocks at once, each byte is one of theirs, and it stays that one',
    async run(disk) {
      disk.needsWrite();
      disk.needsUnits(6);
      const { unit } = disk;
      const before = disk.round();
      await disk.write(0, 6 * unit, before);
      const [a, b] = [disk.round(), disk.round()];
      await Promise.all([disk.write(0, 4 * unit, a), disk.write(2 * unit, 4 * unit, b)]);
      const got = (await disk.read(0, 6 * unit)).slice();
      if (!disk.settings.keepsData) return;
      const [ofA, ofB] = [patternOf(0, 6 * unit, a), patternOf(0, 6 * unit, b)];
      compare(got.subarray(0, 2 * unit), ofA, 0, 'what the first of two writes alone has written');
      compare(
        got.subarray(4 * unit),
        ofB.subarray(4 * unit),
        4 * unit,
        'what the second of two writes alone has written',
      );
      for (let i = 2 * unit; i < 4 * unit; i++) {
        if (got[i] !== ofA[i] && got[i] !== ofB[i])
          fail(`byte ${i} of either write`, `another, 0x${got[i].toString(16)}`);
      }
      compare(await disk.read(0, 6 * unit), got, 0, 'the same as when it was read before');
    },
  },
  {
    name: 'random',
    summary: 'a thousand I/Os of all kinds in a random order leave what they should',
    async run(disk) {
      disk.needsWrite();
      disk.needsUnits(4);
      const { unit, channel, settings } = disk;
      const random = new Random(settings.seed);
      const span = Math.min(disk.units, 64);
      const below = (end: number) => Math.floor(random.next() * end);
      const model = new Uint8Array(span * unit);
      await disk.ok('write zeroes', (cb) => channel.writeZeroes(0, model.length, 0, cb, null));
      const unmap = disk.bdev.ioTypeSupported(3);
      for (let i = 0; i < 1000; i++) {
        disk.begin();
        const first = below(span);
        const units = 1 + below(Math.min(8, span - first));
        const [at, bytes] = [first * unit, units * unit];
        const kind = random.next();
        if (kind < 0.4) {
          const round = disk.round();
          await disk.write(at, bytes, round);
          pattern(model, at, at, bytes, round);
        } else if (kind < 0.5) {
          const zero = unmap && i % 2 === 0;
          await disk.ok(`zeroing ${bytes} bytes at ${at}`, (cb) =>
            zero ? channel.unmap(at, bytes, cb, null) : channel.writeZeroes(at, bytes, 0, cb, null),
          );
          model.fill(0, at, at + bytes);
        } else {
          const got = await disk.read(at, bytes);
          if (settings.keepsData) compare(got, model.subarray(at, at + bytes), at, `I/O ${i} of seed ${settings.seed}`);
        }
      }
    },
  },
  {
    name: 'abort',
    summary: 'I/Os that are aborted end once, as done or as aborted, and the disk goes on',
    async run(disk) {
      const mark = {};
      const { ends } = load(disk, DEPTH, mark);
      disk.channel.abort(mark);
      onlyStatuses(await ends, [ECANCELED], 'that were aborted');
      disk.begin();
      onlyStatuses(await load(disk, 4).ends, [], 'after an abort');
    },
  },
  {
    name: 'reset',
    summary: 'a reset under load succeeds, every I/O ends once, and the disk goes on',
    async run(disk) {
      for (let i = 0; i < 3; i++) {
        disk.begin();
        const { ends } = load(disk, DEPTH);
        await disk.ok('reset', (cb) => disk.channel.reset(cb, null));
        onlyStatuses(await ends, [ECANCELED], 'under a reset');
        disk.begin();
        if (disk.bdev.writable) {
          const round = disk.round();
          await disk.write(0, disk.unit, round);
          await disk.holds(0, disk.unit, round);
        } else await disk.read(0, disk.unit);
      }
    },
  },
  {
    name: 'every-core',
    summary: 'what one core has written every other core reads',
    async run(disk) {
      const { reactor, unit, memory } = disk;
      if (reactor.cores.length === 1) throw new NotForThisDisk('there is one core; start it with --cpumask 0x3');
      const bytes = Math.min(disk.areaBytes, 8 * unit);
      const round = disk.round();
      if (disk.bdev.writable) await disk.write(0, bytes, round);
      const here = (await disk.read(0, bytes)).slice();
      for (const core of reactor.cores) {
        const at = disk.take(bytes);
        const request = { name: disk.bdev.name, segment: memory.id, at, bytes };
        const reading = reactor.app.call(core, readThere, request);
        const status = await disk.within(`a read on core ${core} to end`, reading);
        if (status !== 0) fail(`a read on core ${core} to succeed`, statusText(status));
        const got = memory.u8.subarray(at, at + bytes);
        if (disk.settings.keepsData) compare(got, here, 0, `on core ${core} the same as on core ${reactor.core}`);
      }
    },
  },
];

/** The last one: the disk is gone afterwards. */
export const removalCheck: Check = {
  name: 'removal',
  summary: 'a disk that is removed under load ends every I/O, tells its owner, and takes no more',
  async run(disk) {
    const registry = bdevRegistry(disk.reactor);
    const { name } = disk.bdev;
    const { ends } = load(disk, DEPTH);
    const gone = registry.delete(name);
    onlyStatuses(await ends, [ECANCELED, ENODEV], 'under the removal');
    for (let turns = 0; !disk.removed && turns < 1000; turns++) await new Promise((resolve) => setImmediate(resolve));
    if (!disk.removed) fail('its owner to be told of the removal', 'no word');
    const buffer = disk.take(disk.block);
    await disk.refused('a read after the removal', ENODEV, (cb) =>
      disk.channel.read(disk.memory, buffer, 0, disk.block, cb, null),
    );
    disk.close();
    await disk.within('the disk to be gone once nobody has it open', gone);
    let got = 'it is opened';
    try {
      BdevDesc.open(name, { write: false, reactor: disk.reactor, onEvent: () => {} }).close();
    } catch (error) {
      got = codeOf(error);
    }
    if (got !== 'ENODEV') fail('ENODEV when it is opened after that', got);
  },
};
