/** Faults on demand: the vocabulary, what each action does to an I/O, when rules strike, and that a seed gives the same faults again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IoVecs } from '../../env/iovecs.ts';
import { RPC_RUNTIME, RpcRegistry } from '../../rpc/index.ts';
import '../../module/bdev/malloc/malloc-bdev.ts';
import '../../module/bdev/passthru/passthru-bdev.ts';
import { startCluster } from '../cluster.sim.ts';
import { BdevDesc } from '../desc.ts';
import { IO_READ, IO_WRITE, ioTypes } from '../io-type.ts';
import { setUp } from '../stub-setup.sim.ts';
import { faultRegistry } from './registry.ts';
import { registerFaultRpc } from './rpc.ts';
import { FAULT_ACTIONS, type FaultInput, faultRule, faultStatus, faultText } from './rule.ts';

const BLOCK = 512;

/** A stub disk with rules to come, whose I/Os name themselves. */
async function faulty(params: Parameters<typeof setUp>[0] = {}) {
  const one = await setUp({ blocks: 1024, ...params });
  const faults = faultRegistry(one.cluster.reactors[0]);
  const add = (rule: FaultInput | string): Promise<number> => one.cluster.until(faults.add('S', rule));
  /** Turns until there is nothing to wait for but what is stuck or delayed. */
  const settle = (): void => {
    for (let i = 0; i < 5; i++) one.cluster.turns();
  };
  return { ...one, faults, add, settle };
}

test('a rule is said as text or as fields, and what is wrong with it is named', () => {
  const rule = faultRule('op=write, action=error,errno=ENOSPC,offset_blocks=10,num_blocks=5,count=3,probability=0.5');
  assert.deepEqual(
    rule,
    faultRule({
      op: 'write',
      action: 'error',
      errno: 'ENOSPC',
      offset_blocks: 10,
      num_blocks: 5,
      count: '3',
      probability: '0.5',
    }),
  );
  assert.equal(faultStatus(rule), -28);
  assert.equal(faultStatus(faultRule({})), -5);
  for (const [input, message] of [
    ['op=writ', /op "writ", may be all, read, write/],
    ['action=explode', /action "explode", may be error, nomem/],
    ['count=-1', /count "-1", may be an integer from 0/],
    ['count=', /count ""/],
    ['every=0', /every "0", may be an integer from 1/],
    ['probability=2', /probability "2", may be a number from 0 to 1/],
    ['errno=EOH', /errno "EOH"/],
    ['colour=red', /no key "colour"; there are op, action/],
    ['op', /"op" is not key=value/],
    ['op=read,op=write', /op is said twice/],
    ['action=delay', /delay_us "0"/],
    ['action=torn,op=read', /op "read", may be write/],
    ['action=lost,op=read', /op "read"/],
    ['action=lost', /op "all"/],
    ['action=corrupt,op=flush', /op "flush"/],
    ['action=misdirect,op=write', /misdirect_blocks "0"/],
    ['action=nomem,stage=completion', /stage "completion"/],
    ['corrupt_value=256,action=corrupt,op=read', /corrupt_value "256"/],
  ] as const) {
    assert.throws(() => faultRule(input), { code: 'EINVAL', message });
  }
});

test('text of a rule gives the rule again', () => {
  const rules = fc.record(
    {
      op: fc.constantFrom('read', 'write'),
      action: fc.constantFrom(
        ...FAULT_ACTIONS.filter((action) => !['lost', 'torn', 'misdirect', 'delay'].includes(action)),
      ),
      offset_blocks: fc.maxSafeNat(),
      num_blocks: fc.nat(),
      count: fc.nat(2 ** 31 - 1),
      probability: fc.double({ min: 0, max: 1, noNaN: true }),
      seed: fc.nat(),
      skip: fc.nat(),
      state: fc.nat(),
    },
    { requiredKeys: ['op'] },
  );
  fc.assert(
    fc.property(rules, (input) => {
      const rule = faultRule(input as FaultInput);
      assert.deepEqual(faultRule(faultText(rule)), rule);
    }),
  );
});

test('error: at submission the disk never sees it, at completion it has done it', async () => {
  const { channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  await add('op=read,action=error,errno=ETIMEDOUT,count=1');
  await add('op=write,action=error,stage=completion,count=1');
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'read'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'write'), 0);
  assert.deepEqual(done, [], 'never from inside the call');
  assert.deepEqual(
    stub.outstanding.map((io) => io.type),
    [IO_WRITE],
  );
  stub.complete(1);
  settle();
  assert.deepEqual(done.splice(0).sort(), ['read -110', 'write -5']);
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'read'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'write'), 0);
  stub.complete(2);
  settle();
  assert.deepEqual(done, ['read 0', 'write 0'], 'count is over');
  assert.deepEqual(
    faults.list().map(({ name, seen, struck }) => [name, seen, struck]),
    [
      ['S', 2, 1],
      ['S', 2, 1],
    ],
  );
  await tearDown();
});

test('nomem: it waits, as if the module had no memory, and is then carried out', async () => {
  const { cluster, channel, stub, buf, done, cb, add, tearDown } = await faulty();
  await add('action=nomem,count=1');
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'a'), 0);
  assert.equal(channel.shared.queued, 1);
  await cluster.untilTrue(() => stub.outstanding.length === 1);
  stub.complete(1);
  cluster.turns();
  assert.deepEqual(done, ['a 0']);
  await tearDown();
});

test('nomem: what the disk does not take whole is split when its turn comes, and what it lacks is emulated', async () => {
  const limits = { maxRwBlocks: 2 };
  const { cluster, channel, stub, buf, done, cb, add, tearDown } = await faulty({
    limits,
    ioTypes: ioTypes(IO_READ, IO_WRITE),
  });
  await add('action=nomem,count=2');
  assert.equal(channel.read(buf, 0, 0, 4 * BLOCK, cb, 'split'), 0);
  assert.equal(channel.writeZeroes(0, 2 * BLOCK, 0, cb, 'emulated'), 0);
  assert.equal(channel.shared.queued, 2);
  const seen: string[] = [];
  while (done.length < 2) {
    await cluster.untilTrue(() => stub.outstanding.length > 0 || done.length === 2);
    seen.push(
      ...stub.outstanding.map(({ type, byteOffset, bytes }) => `${type} ${byteOffset / BLOCK}+${bytes / BLOCK}`),
    );
    stub.complete(stub.outstanding.length);
    cluster.turns();
  }
  assert.deepEqual(seen.sort(), [`${IO_READ} 0+2`, `${IO_READ} 2+2`, `${IO_WRITE} 0+2`]);
  assert.deepEqual(done.sort(), ['emulated 0', 'split 0']);
  await tearDown();
});

test('stuck: until it is resumed, aborted or reset', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  await add('op=write,action=stuck');
  for (const name of ['a', 'b', 'c']) assert.equal(channel.write(buf, 0, 0, BLOCK, cb, name), 0);
  settle();
  assert.equal(stub.outstanding.length, 0);
  assert.equal(await cluster.until(faults.stuck('S')), 3);
  assert.equal(channel.abort('b'), 1);
  settle();
  assert.deepEqual(done.splice(0), ['b -125']);
  await cluster.until(faults.clear('S'));
  assert.equal(await cluster.until(faults.resume('S')), 2, 'they outlive their rule');
  assert.equal(stub.outstanding.length, 2);
  stub.complete(2);
  settle();
  assert.deepEqual(done.splice(0), ['a 0', 'c 0']);
  await add('op=write,action=stuck');
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'd'), 0);
  assert.equal(channel.reset(cb, 'reset'), 0);
  await cluster.untilTrue(() => done.length === 2);
  assert.deepEqual(done, ['d -125', 'reset 0']);
  await tearDown();
});

test('delay: before the disk has it or after, for so long as the distribution says', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  const { clock } = cluster;
  await add('op=read,action=delay,delay_us=500');
  await add('op=write,action=delay,delay_us=500,stage=completion');
  const from = clock.nowUs;
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'read'), 0);
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'write'), 0);
  assert.deepEqual(
    stub.outstanding.map((io) => io.type),
    [IO_WRITE],
  );
  stub.complete(1);
  await cluster.untilTrue(() => stub.outstanding.length === 1);
  assert.ok(clock.nowUs - from >= 500);
  assert.deepEqual(
    stub.outstanding.map((io) => io.type),
    [IO_READ],
  );
  stub.complete(1);
  settle();
  await cluster.untilTrue(() => done.length === 2);
  assert.ok(clock.nowUs - from >= 500);
  const [{ stat }] = await cluster.until(cluster.bdevs.stat(['S']));
  const { num_read_ops, num_write_ops, max_read_latency_ticks } = stat.toJson() as Record<string, number>;
  assert.deepEqual([num_read_ops, num_write_ops], [1, 1]);
  assert.ok(max_read_latency_ticks >= 500, 'the delay is part of what is measured');
  await cluster.until(faults.clear('S'));
  assert.equal(channel.shared.bdev.faults, null);
  await tearDown();
});

/** A memory disk of zeroes, and reads and writes that wait for their end. */
async function memory() {
  const cluster = await startCluster();
  await cluster.until(cluster.bdevs.create('malloc', { name: 'M', block_size: BLOCK, num_blocks: 64 }));
  const desc = cluster.on(0, () => BdevDesc.open('M', { write: true, onEvent: () => {} }));
  const channel = cluster.on(0, () => desc.getIoChannel());
  const buf = cluster.memory(64 * BLOCK);
  const faults = faultRegistry(cluster.reactors[0]);
  const end = async (start: (cb: (ctx: unknown, status: number) => void) => number): Promise<number> => {
    let result: number | undefined;
    assert.equal(
      start((_, status) => {
        result = status;
      }),
      0,
    );
    await cluster.untilTrue(() => result !== undefined);
    return result as number;
  };
  const pieces = new IoVecs(3);
  pieces.push(buf, 0, 700);
  pieces.push(buf, 800, 1000);
  pieces.push(buf, 2000, 348);
  /** Writes 4 blocks of `value` at block `lba`. */
  const write = (value: number, lba: number): Promise<number> => {
    buf.u8.fill(value);
    return end((cb) => channel.writev(pieces, lba * BLOCK, cb, 0));
  };
  const disk = async (): Promise<Uint8Array> => {
    assert.equal(await end((cb) => channel.read(buf, 0, 0, 64 * BLOCK, cb, 0)), 0);
    return buf.u8.slice();
  };
  const add = (rule: FaultInput | string) => cluster.until(faults.add('M', rule));
  const close = async (): Promise<void> => {
    desc.close();
    await cluster.close();
  };
  return { cluster, channel, buf, faults, write, disk, end, add, close };
}

const filled = (...ranges: [number, number, number][]): Uint8Array => {
  const all = new Uint8Array(64 * BLOCK);
  for (const [value, from, to] of ranges) all.fill(value, from, to);
  return all;
};

test('torn, lost and misdirected writes leave on the disk what they say', async () => {
  const { write, disk, add, faults, cluster, close } = await memory();
  await add('op=write,action=torn,torn_blocks=3,count=1');
  await add('op=write,action=torn,torn_blocks=1,errno=EIO,count=1');
  await add('op=write,action=torn,count=1');
  await add('op=write,action=lost,count=1');
  await add('op=write,action=misdirect,misdirect_blocks=20,count=1');
  await add('op=write,action=misdirect,misdirect_blocks=-8,count=1');
  assert.equal(await write(1, 0), 0);
  assert.equal(await write(2, 10), -5);
  assert.equal(await write(3, 10), 0, 'nothing of it');
  assert.equal(await write(4, 10), 0);
  assert.equal(await write(5, 20), 0);
  assert.equal(await write(6, 4), 0, 'round the end');
  assert.equal(await write(7, 30), 0);
  const expected = filled(
    [1, 0, 3 * BLOCK],
    [2, 10 * BLOCK, 11 * BLOCK],
    [5, 40 * BLOCK, 44 * BLOCK],
    [6, 57 * BLOCK, 61 * BLOCK],
    [7, 30 * BLOCK, 34 * BLOCK],
  );
  assert.deepEqual(await disk(), expected);
  await cluster.until(faults.clear('M'));
  await close();
});

test('corrupt: one byte of what a write stores or a read gives, wherever it lies; memory of a writer stays as it is', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(4 * BLOCK - 1), fc.option(fc.nat(255)), async (offset, value) => {
      const { cluster, buf, write, disk, add, faults, close } = await memory();
      const how = value === null ? '' : `,corrupt_value=${value}`;
      const wrong = value ?? 0x11 ^ 0xff;
      await add(`op=write,action=corrupt,corrupt_offset=${offset}${how},count=1`);
      assert.equal(await write(0x11, 2), 0);
      assert.ok(buf.u8.every((byte) => byte === 0x11));
      const stored = filled([0x11, 2 * BLOCK, 6 * BLOCK], [wrong, 2 * BLOCK + offset, 2 * BLOCK + offset + 1]);
      assert.deepEqual(await disk(), stored);
      await add(`op=read,action=corrupt,corrupt_offset=${2 * BLOCK + offset},count=1`);
      stored[2 * BLOCK + offset] ^= 0xff;
      assert.deepEqual(await disk(), stored);
      stored[2 * BLOCK + offset] ^= 0xff;
      assert.deepEqual(await disk(), stored, 'only what was read was wrong');
      await cluster.until(faults.clear('M'));
      await close();
    }),
    { numRuns: 15 },
  );
});

test('a memory disk with rules is not read or written behind their back', async () => {
  const { cluster, channel, add, faults, close } = await memory();
  assert.equal(channel.zcopy(0, BLOCK, new IoVecs(1)), true);
  await add('op=read');
  assert.equal(channel.zcopy(0, BLOCK, new IoVecs(1)), false);
  await cluster.until(faults.clear('M'));
  assert.equal(channel.zcopy(0, BLOCK, new IoVecs(1)), true);
  await close();
});

test('where and when: range, skip, every, count, time', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  /** Reads `count` times a block at `lba`; the positions that failed. */
  const failures = (count: number, lba = 0, blocks = 1): number[] => {
    for (let i = 0; i < count; i++) assert.equal(channel.read(buf, 0, lba * BLOCK, blocks * BLOCK, cb, i), 0);
    stub.complete(stub.outstanding.length);
    settle();
    return done
      .splice(0)
      .filter((each) => !each.endsWith(' 0'))
      .map((each) => Number(each.split(' ')[0]))
      .sort((a, b) => a - b);
  };
  await add('skip=2,every=3,count=2');
  assert.deepEqual(failures(15), [4, 7]);
  await cluster.until(faults.clear('S'));
  await add('offset_blocks=10,num_blocks=2');
  assert.deepEqual([failures(1, 9), failures(1, 10), failures(1, 11), failures(1, 12)], [[], [0], [0], []]);
  assert.deepEqual([failures(1, 8, 3), failures(1, 0, 100)], [[0], [0]]);
  await cluster.until(faults.clear('S'));
  const { clock } = cluster;
  await add('start_ms=10,duration_ms=5');
  assert.deepEqual(failures(1), []);
  clock.nowUs += 10_000;
  cluster.round();
  assert.deepEqual(failures(1), [0]);
  clock.nowUs += 5000;
  cluster.round();
  assert.deepEqual(failures(1), []);
  const [{ id }] = faults.list('S');
  await cluster.until(faults.remove(id));
  await assert.rejects(cluster.until(faults.remove(id)), { code: 'ENOENT' });
  await tearDown();
});

test('rules follow one another by the state of their disk', async () => {
  const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
  await add('op=write,action=error,state=1,new_state=2,count=1');
  await add('op=read,action=error,errno=EBUSY,state=2,new_state=3,count=1');
  await add('op=flush,action=error,errno=ENOSPC,state=3,new_state=1,count=1');
  const step = (start: () => number): string => {
    assert.equal(start(), 0);
    stub.complete(stub.outstanding.length);
    settle();
    return done.splice(0).join();
  };
  const read = () => step(() => channel.read(buf, 0, 0, BLOCK, cb, 'r'));
  const flush = () => step(() => channel.flush(0, BLOCK, cb, 'f'));
  assert.deepEqual([read(), flush()], ['r 0', 'f 0']);
  assert.equal(
    step(() => channel.write(buf, 0, 0, BLOCK, cb, 'w')),
    'w -5',
  );
  assert.equal(faults.state('S'), 2);
  assert.deepEqual([flush(), read(), read(), flush(), flush()], ['f 0', 'r -16', 'r 0', 'f -28', 'f 0']);
  assert.equal(faults.state('S'), 1);
  faults.setState('S', 3);
  assert.equal(faults.state('S'), 3);
  assert.throws(() => faults.setState('S', 0), { code: 'EINVAL' });
  await cluster.until(faults.clear('S'));
  await tearDown();
});

test('a seed gives the same faults again, another seed others; without one it is drawn and told', async () => {
  const run = async (seed: string): Promise<string> => {
    const { cluster, channel, stub, buf, done, cb, add, settle, faults, tearDown } = await faulty();
    await add(`action=error,probability=0.3${seed}`);
    for (let i = 0; i < 200; i++) assert.equal(channel.read(buf, 0, 0, BLOCK, cb, ''), 0);
    stub.complete(stub.outstanding.length);
    settle();
    const [{ rule, struck, seen }] = faults.list('S');
    assert.ok(rule.seed > 0 && seen === 200 && struck > 20 && struck < 120);
    assert.equal(done.filter((each) => each.endsWith('-5')).length, struck);
    // Order of completion: those that failed come in order of submission.
    const drawn = `${struck}`;
    await cluster.until(faults.clear('S'));
    await tearDown();
    return `${drawn} ${done.join('')}`;
  };
  const [a, b, c] = [await run(',seed=7'), await run(',seed=7'), await run(',seed=8')];
  assert.equal(a, b);
  assert.notEqual(a, c);
  await run('');
});

test('counts are of all cores together', async () => {
  const cluster = await startCluster({ reactors: 3 });
  await cluster.until(cluster.bdevs.create('malloc', { name: 'M', block_size: BLOCK, num_blocks: 64 }));
  const faults = faultRegistry(cluster.reactors[0]);
  await cluster.until(faults.add('M', 'op=read,skip=5,count=4'));
  const buf = cluster.memory(BLOCK);
  let failed = 0;
  let ended = 0;
  const descs = cluster.reactors.map((_, core) =>
    cluster.on(core, () => {
      const desc = BdevDesc.open('M', { write: false, onEvent: () => {} });
      const channel = desc.getIoChannel();
      for (let i = 0; i < 10; i++) {
        channel.read(
          buf,
          0,
          0,
          BLOCK,
          (__, status) => {
            ended++;
            if (status !== 0) failed++;
          },
          0,
        );
      }
      return desc;
    }),
  );
  cluster.turns();
  assert.deepEqual([ended, failed], [30, 4]);
  for (const desc of descs) desc.close();
  await cluster.close();
});

test('fault_add, fault_list, fault_set_state, fault_resume, fault_remove', async () => {
  const { cluster, channel, stub, buf, done, cb, settle, faults, tearDown } = await faulty();
  const rpc = new RpcRegistry();
  registerFaultRpc(rpc, { faults: () => faults });
  rpc.state = RPC_RUNTIME;
  const call = (method: string, params?: object) => cluster.until((async () => rpc.call(method, params))());
  const first = await call('fault_add', { name: 'S', op: 'write', action: 'stuck', seed: 5 });
  const second = await call('fault_add', { name: 'S', rule: 'op=read,errno=EBUSY' });
  assert.notEqual(first, second);
  await assert.rejects(call('fault_add', { name: 'none', op: 'read' }), { code: 'ENODEV' });
  await assert.rejects(call('fault_add', { name: 'S', rule: 'op=nothing' }), { code: 'EINVAL' });
  assert.equal(channel.write(buf, 0, 0, BLOCK, cb, 'w'), 0);
  const [listed] = (await call('fault_list', { name: 'S' })) as Record<string, unknown>[];
  assert.deepEqual(
    [listed.id, listed.name, listed.rule, listed.seen, listed.struck, listed.op],
    [first, 'S', 'op=write,action=stuck,seed=5', 1, 1, 'write'],
  );
  assert.equal(await call('fault_resume', { name: 'S' }), 1);
  stub.complete(1);
  settle();
  assert.deepEqual(done, ['w 0']);
  assert.equal(await call('fault_set_state', { name: 'S', state: 4 }), true);
  assert.equal(await call('fault_remove', { id: first }), true);
  assert.equal(((await call('fault_list')) as unknown[]).length, 1);
  await call('fault_remove', { id: second });
  await tearDown();
});

test('a rule for one connection: only its I/Os, also those that reach the disk through another', async () => {
  const cluster = await startCluster();
  await cluster.until(cluster.bdevs.create('malloc', { name: 'B', block_size: BLOCK, num_blocks: 64 }));
  await cluster.until(cluster.bdevs.create('passthru', { name: 'P', base_bdev_name: 'B' }));
  const faults = faultRegistry(cluster.reactors[0]);
  await cluster.until(faults.add('B', { op: 'write', errno: 'ENOSPC', connection: 7 }));
  const desc = BdevDesc.open('P', { write: true, reactor: cluster.reactors[0], onEvent: () => {} });
  const channel = desc.getIoChannel();
  const buf = cluster.memory(BLOCK);
  const statuses: number[] = [];
  for (const connection of [0, 7, 8, 7, 0]) {
    channel.connection = connection;
    assert.equal(
      channel.write(buf, 0, 0, BLOCK, (_, status) => void statuses.push(status), null),
      0,
    );
    await cluster.untilTrue(() => statuses[statuses.length - 1] !== undefined);
    cluster.turns();
  }
  assert.deepEqual(statuses, [0, -28, 0, -28, 0]);
  assert.equal(faults.list('B')[0].seen, 2);
  desc.close();
  await cluster.close();
});
