// Cpuset against a plain Set, and SPDK's spellings. Names in brackets are those of SPDK's cpuset_ut.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Cpuset } from './cpuset.ts';
import { SpdkError } from './errors.ts';
import { limits } from './limits.ts';

const cores = fc.uniqueArray(fc.integer({ min: 0, max: limits.cores_max - 1 }), { maxLength: 40 });
const sorted = (list: Iterable<number>) => [...list].sort((a, b) => a - b);

const einval = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof SpdkError, String(error));
  assert.equal(error.code, 'EINVAL');
  assert.match(error.message, pattern);
  return true;
};

test('[test_cpuset] set operations agree with a plain Set', () => {
  fc.assert(
    fc.property(cores, cores, (a, b) => {
      const setB = new Set(b);
      const setA = new Set(a);
      const [x, y] = [new Cpuset(a), new Cpuset(b)];
      assert.deepEqual(sorted(x.clone().and(y)), sorted(a.filter((c) => setB.has(c))));
      assert.deepEqual(sorted(x.clone().or(y)), sorted(new Set([...a, ...b])));
      assert.deepEqual(sorted(x.clone().xor(y)), sorted([...a, ...b].filter((c) => setA.has(c) !== setB.has(c))));
      assert.equal(
        x.intersects(y),
        a.some((c) => setB.has(c)),
      );
      assert.equal(x.count, a.length);
      assert.equal(x.clone().negate().count, limits.cores_max - a.length);
      assert.ok(x.clone().negate().negate().equals(x));
      assert.equal(x.equals(y), sorted(a).join() === sorted(b).join());
    }),
  );
});

test('[test_cpuset] members come and go one by one; a core out of range is refused', () => {
  const set = new Cpuset();
  assert.ok(set.empty);
  for (const core of [0, 31, 32, limits.cores_max - 1]) {
    assert.equal(set.has(core), false);
    assert.equal(set.set(core).has(core), true);
  }
  assert.equal(set.count, 4);
  set.set(32, false);
  assert.deepEqual([...set], [0, 31, limits.cores_max - 1]);
  assert.equal(Cpuset.all().count, limits.cores_max);
  assert.ok(set.zero().empty);
  for (const core of [-1, limits.cores_max, 1.5, Number.NaN]) {
    assert.throws(() => set.set(core), einval(/out of range, limit 0 to 1023/));
    assert.throws(() => set.has(core), einval(/out of range/));
  }
});

test('[test_cpuset_parse] masks and lists', () => {
  const good: [string, number[]][] = [
    ['0x1', [0]],
    ['0X3', [0, 1]],
    ['3', [0, 1]],
    ['f0', [4, 5, 6, 7]],
    ['0', []],
    ['  0x5\t', [0, 2]],
    ['0x100000000', [32]],
    [`0x${'0'.repeat(300)}1`, [0]],
    ['[0]', [0]],
    ['[0,2-4]', [0, 2, 3, 4]],
    [' [ 1 , 3 - 4 ] ', [1, 3, 4]],
    ['[1023]', [1023]],
    ['[5-5,5,4-6]', [4, 5, 6]],
    [`0x8${'0'.repeat(255)}`, [1023]],
  ];
  for (const [text, expected] of good) assert.deepEqual([...Cpuset.parse(text)], expected, text);
});

test('[test_cpuset_parse] what is malformed is refused and named', () => {
  const bad: [string, RegExp][] = [
    ['', /it is empty/],
    [' \t', /it is empty/],
    ['0x', /no digit follows 0x/],
    ['0xg', /character "g" is not hexadecimal/],
    ['x3', /character "x"/],
    ['-1', /character "-"/],
    ['0x3 4', /character " "/],
    ['[', /does not end with \]/],
    ['[]', /"" is neither/],
    ['[,]', /is neither/],
    ['[0,]', /is neither/],
    ['[0-]', /"0-" is neither/],
    ['[-1]', /"-1" is neither/],
    ['[0-2-4]', /is neither/],
    ['[0 1]', /is neither/],
    ['[1-0]', /the range 1-0 runs backwards/],
    ['[0', /does not end with \]/],
    ['[0]5', /does not end with \]/],
    ['[a]', /is neither/],
    ['[1024]', /core 1024 is past 1023/],
    ['[0-1024]', /core 1024 is past 1023/],
    ['[99999999999999999999]', /is past 1023/],
    [`1${'0'.repeat(256)}`, /names a core past 1023/],
  ];
  for (const [text, pattern] of bad) assert.throws(() => Cpuset.parse(text), einval(pattern), text);
});

test("[test_cpuset_fmt] prints SPDK's way, and what is printed reads back", () => {
  assert.equal(new Cpuset().toString(), '0');
  assert.equal(new Cpuset([0, 1]).toString(), '3');
  assert.equal(new Cpuset([4, 5, 6, 7]).toString(), 'f0');
  assert.equal(new Cpuset([10]).toString(), '400');
  assert.equal(Cpuset.all().toString(), 'f'.repeat(256));
  fc.assert(
    fc.property(cores, (list) => {
      const set = new Cpuset(list);
      assert.ok(Cpuset.parse(set.toString()).equals(set));
      assert.ok(Cpuset.parse(`0x${set}`).equals(set));
      if (list.length > 0) assert.ok(Cpuset.parse(`[${list.join(',')}]`).equals(set));
      const words = new Int32Array(limits.cores_max / 32 + 2);
      set.writeWords(words, 2);
      assert.ok(Cpuset.fromWords(words.subarray(2)).equals(set));
    }),
  );
});

test('[test_cpuset_foreach] iteration gives every member once, in ascending order', () => {
  fc.assert(
    fc.property(cores, (list) => {
      assert.deepEqual([...new Cpuset(list)], sorted(list));
    }),
  );
});
