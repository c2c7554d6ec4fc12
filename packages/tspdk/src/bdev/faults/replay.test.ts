/** What is drawn comes again: the same seed, the same strikes and delays, whatever else goes on, on one core or many. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawAt } from '../../env/random.ts';
import { malloc } from '../../module/bdev/malloc/malloc-setup.sim.ts';
import { BdevIo } from '../bdev-io.ts';
import { startCluster } from '../cluster.sim.ts';
import { BdevDesc } from '../desc.ts';
import { IO_READ } from '../io-type.ts';
import { faulty } from './fault-setup.sim.ts';
import { faultRegistry } from './registry.ts';
import { faultRule } from './rule.ts';
import { RULE_WORDS, STRUCK, seenBy, Watch } from './watch.ts';

const BLOCK = 512;
const RULE = 'op=read,errno=EBUSY,probability=0.3';
const IOS = 200;

/** Which of so many reads `rule` strikes; `meanwhile` is called before each. */
async function struckBy(
  rule: string,
  meanwhile: (
    i: number,
    add: (rule: string) => Promise<number>,
    remove: (id: number) => Promise<void>,
  ) => unknown = () => {},
): Promise<number[]> {
  const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  const id = await add(rule);
  const struck: number[] = [];
  for (let i = 0; i < IOS; i++) {
    await meanwhile(i, add, (other) => cluster.until(faults.remove(other)));
    assert.equal(channel.read(buf, 0, 0, BLOCK, cb, i), 0);
    stub.complete(stub.outstanding.length);
    settle();
    if (done.pop()?.endsWith(' -16')) struck.push(i);
  }
  const listed = faults.list('S').find((each) => each.id === id);
  assert.deepEqual([listed?.seen, listed?.struck], [IOS, struck.length]);
  assert.ok(listed !== undefined && listed.rule.seed > 0, 'without a seed one is drawn and told');
  await tearDown();
  return struck;
}

test('a seed gives the same faults again, another seed others', async () => {
  const [a, b, c] = [
    await struckBy(`${RULE},seed=7`),
    await struckBy(`${RULE},seed=7`),
    await struckBy(`${RULE},seed=8`),
  ];
  assert.deepEqual(a, b);
  assert.notDeepEqual(a, c);
  assert.ok(a.length > 20 && a.length < 120);
  await struckBy(RULE);
});

test('rules that come and go do not change what another strikes', async () => {
  const alone = await struckBy(`${RULE},seed=7`);
  let other = 0;
  const amid = await struckBy(`${RULE},seed=7`, async (i, add, remove) => {
    if (i === 50) other = await add('op=read,action=error,errno=EIO,probability=0.5,seed=7');
    if (i === 70) await add('op=write,action=stuck');
    if (i === 120) await remove(other);
  });
  assert.deepEqual(amid, alone);
});

test('delays come again too, and are not those of another seed', () => {
  const watch = (rule: string) =>
    new Watch({ id: 1, rule: faultRule(rule), counters: new SharedArrayBuffer(RULE_WORDS * 4), addedUs: 0 }, BLOCK);
  for (const [distribution, fits] of [
    ['uniform', (us: number[]) => us.every((each) => each >= 100 && each < 900)],
    ['exponential', (us: number[]) => us.every((each) => each >= 0) && mean(us) > 80 && mean(us) < 120],
    ['p99', (us: number[]) => us.every((each) => each === 100 || each === 900) && us.includes(900)],
  ] as const) {
    const most = distribution === 'exponential' ? '' : ',delay_max_us=900';
    const delays = (seed: number): number[] => {
      const one = watch(`action=delay,delay_us=100${most},distribution=${distribution},seed=${seed}`);
      return Array.from({ length: 1000 }, (_, i) => {
        one.seen = i;
        return one.delayUs();
      });
    };
    assert.deepEqual(delays(5), delays(5));
    assert.notDeepEqual(delays(5), delays(6));
    assert.ok(fits(delays(5)), distribution);
  }
});

const mean = (all: readonly number[]): number => all.reduce((sum, each) => sum + each, 0) / all.length;

test('on many cores the same numbers are struck as on one, and counts are of all together', async () => {
  const alone = await struckBy(`${RULE},seed=7,count=30,skip=3`);
  const cluster = await startCluster({ reactors: 3 });
  await malloc(cluster, 'M', 64);
  const faults = faultRegistry(cluster.reactors[0]);
  await cluster.until(faults.add('M', `${RULE},seed=7,count=30,skip=3`));
  const buf = cluster.memory(BLOCK);
  const struck: number[] = [];
  const channels = cluster.reactors.map((_, core) =>
    cluster.on(core, () => BdevDesc.open('M', { write: false, onEvent: () => {} }).getIoChannel()),
  );
  for (let i = 0; i < IOS; i++) {
    const core = (i * i) % 3;
    const cb = (_: unknown, status: number) => void (status === 0 || struck.push(i));
    assert.equal(
      cluster.on(core, () => channels[core].read(buf, 0, 0, BLOCK, cb, null)),
      0,
    );
    cluster.turns();
  }
  assert.deepEqual(struck, alone);
  assert.equal(struck.length, 30);
  for (const { desc } of channels) desc.close();
  await cluster.close();
});

test('a rule counts beyond 32 bits', () => {
  const counters = new SharedArrayBuffer(RULE_WORDS * 4);
  const words = new Int32Array(counters);
  const rule = faultRule('op=read,errno=EBUSY,skip=4294967294,every=2,count=4294967295');
  const watch = new Watch({ id: 1, rule, counters, addedUs: 0 }, BLOCK);
  const io = new BdevIo(0);
  io.type = IO_READ;
  io.bytes = BLOCK;
  const state = new Int32Array(1);
  const strikes = () => watch.strikes(IO_READ, io, 0, 0, 0, state, 1);
  words[0] = -3;
  words[STRUCK] = 0x7fff_ffff;
  assert.deepEqual(Array.from({ length: 6 }, strikes), [false, false, true, false, true, false]);
  assert.equal(seenBy(words), 0x1_0000_0003);
  assert.equal(words[STRUCK] >>> 0, 0x8000_0001);
  words[STRUCK] = -2;
  assert.deepEqual(Array.from({ length: 6 }, strikes), [true, false, false, false, false, false]);
});

test('numbers that are drawn: even, and each stream, seed and number another', () => {
  const draws = (seed: number, stream: number, from = 0) =>
    Array.from({ length: 4000 }, (_, i) => drawAt(seed, stream, from + i));
  const sets = [draws(1, 0), draws(2, 0), draws(1, 1), draws(1, 0, 2 ** 32), draws(1, 0, 2 ** 40)];
  for (const set of sets) {
    assert.ok(set.every((each) => each >= 0 && each < 1));
    // Ten boxes of 400 each; five standard deviations.
    for (let box = 0; box < 10; box++) {
      const count = set.filter((each) => Math.floor(each * 10) === box).length;
      assert.ok(Math.abs(count - 400) < 95, `${count} in box ${box}`);
    }
    // Neighbours have nothing to do with each other.
    const both = set.filter((each, i) => each < 0.5 && set[(i + 1) % set.length] < 0.5).length;
    assert.ok(Math.abs(both - 1000) < 140, `${both} pairs`);
  }
  assert.equal(new Set(sets.map((set) => set.slice(0, 5).join())).size, sets.length);
});
