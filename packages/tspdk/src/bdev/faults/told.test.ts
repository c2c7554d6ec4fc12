/** What is told of faults: by RPC, in the log, by notification, in the saved configuration. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { log } from '../../log/index.ts';
import { RPC_RUNTIME, RpcRegistry } from '../../rpc/index.ts';
import { faulty } from './fault-setup.sim.ts';
import type { FaultInfo } from './registry.ts';
import { registerFaultRpc } from './rpc.ts';

const BLOCK = 512;
const SECOND_US = 1_000_000;

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
  const [{ bdev_state }] = (await call('fault_list')) as { bdev_state: number }[];
  assert.equal(bdev_state, 4);
  assert.equal(await call('fault_remove', { id: first }), true);
  assert.equal(((await call('fault_list')) as unknown[]).length, 1);
  await call('fault_remove', { id: second });
  await tearDown();
});

test('fault_add: numbers also as text and as fractions, negative ones too; nothing beside a whole rule', async () => {
  const { cluster, faults, tearDown } = await faulty();
  const rpc = new RpcRegistry();
  registerFaultRpc(rpc, { faults: () => faults });
  rpc.state = RPC_RUNTIME;
  const add = (params: object) => cluster.until((async () => rpc.call('fault_add', { name: 'S', ...params }))());
  await add({ op: 'write', action: 'misdirect', misdirect_blocks: -8, seed: 1 });
  await add({ op: 'write', action: 'misdirect', misdirect_blocks: '-8', count: '3', probability: 0.5, seed: '2' });
  await add({ rule: 'op=write,action=misdirect,misdirect_blocks=-8,probability=0.5,seed=3' });
  assert.deepEqual(
    faults.list('S').map(({ rule }) => [rule.misdirect_blocks, rule.count, rule.probability, rule.seed]),
    [
      [-8, 0, 1, 1],
      [-8, 3, 0.5, 2],
      [-8, 0, 0.5, 3],
    ],
  );
  for (const [params, message] of [
    [{ rule: 'op=read', count: 1 }, /count beside rule, which is all of it/],
    [{ op: 'read', torn_blocks: 1 }, /torn_blocks "1" means nothing for action error/],
    [{ count: 2 ** 40 }, /count "1099511627776", may be an integer from 0 to 4294967295/],
  ] as const) {
    await assert.rejects(add(params), { code: 'EINVAL', message });
  }
  await tearDown();
});

/** Reads `count` times; what the log says of it. */
async function loggedBy(
  body: (parts: { read: (count: number) => void; passUs: (us: number) => void }) => unknown,
): Promise<string[]> {
  const { cluster, channel, buf, cb, add, settle, tearDown } = await faulty();
  const lines: string[] = [];
  log.open(({ component, text }) => void (component === 'fault' && lines.push(text)));
  try {
    await add('op=read,errno=EBUSY,seed=1');
    const read = (count: number): void => {
      for (let i = 0; i < count; i++) assert.equal(channel.read(buf, 0, i * BLOCK, BLOCK, cb, i), 0);
      settle();
    };
    const passUs = (us: number): void => {
      cluster.clock.nowUs += us;
      settle();
    };
    await body({ read, passUs });
    await tearDown();
  } finally {
    log.close();
  }
  return lines;
}

test('the log has each fault, up to ten a second, and then how many it has left out', async () => {
  const lines = await loggedBy(({ read, passUs }) => {
    read(25);
    passUs(SECOND_US);
    passUs(SECOND_US);
    read(3);
    passUs(SECOND_US);
    read(11);
  });
  assert.match(lines[0], /^bdev "S": fault \d+ \(error\) on a read of 512 bytes at 0$/);
  assert.equal(lines[10], 'bdev "S": 15 more faults were not logged', 'without another fault');
  assert.equal(lines[lines.length - 1], 'bdev "S": 1 more faults were not logged', 'at the end of the disk');
  assert.equal(lines.length, 10 + 1 + 3 + 10 + 1);
});

test('with its flag the log has every fault', async () => {
  log.setFlag('fault');
  try {
    const lines = await loggedBy(({ read }) => read(25));
    assert.equal(lines.length, 25);
    assert.match(lines[24], /at 12288$/);
  } finally {
    log.clearFlag('fault');
  }
});

test('a strike is reported, and those after it once a second, up to the last', async () => {
  const { cluster, channel, buf, cb, add, settle, faults, tearDown } = await faulty();
  const told: FaultInfo[] = [];
  faults.onStruck = (info) => void told.push(info);
  const id = await add('op=read,errno=EBUSY');
  const read = (count: number): void => {
    for (let i = 0; i < count; i++) assert.equal(channel.read(buf, 0, 0, BLOCK, cb, i), 0);
    settle();
  };
  const pass = (): void => {
    cluster.clock.nowUs += SECOND_US;
    settle();
  };
  const counts = (): number[] => told.map(({ struck }) => struck);
  read(1);
  assert.deepEqual(counts(), [1]);
  assert.deepEqual([told[0].id, told[0].name], [id, 'S']);
  read(20);
  assert.deepEqual(counts(), [1], 'not yet');
  pass();
  assert.deepEqual(counts(), [1, 21]);
  pass();
  pass();
  assert.deepEqual(counts(), [1, 21], 'nothing new');
  read(1);
  assert.deepEqual(counts(), [1, 21, 22], 'at once');
  read(1);
  await cluster.until(faults.remove(id));
  pass();
  assert.deepEqual(counts(), [1, 21, 22], 'a rule that is gone is not told of');
  await tearDown();
});

test('the configuration has rules as they were added, with their seeds, in their order, and not what they have done', async () => {
  const { cluster, channel, buf, cb, add, settle, faults, tearDown } = await faulty();
  await add('op=read,errno=EBUSY,count=1,probability=0.25,seed=9');
  await add({ op: 'write', action: 'misdirect', misdirect_blocks: -4, seed: 3 });
  const made = { rule: { op: 'flush', seed: 4 }, call: { method: 'make_it', params: { again: true } } };
  await cluster.until(faults.replace('S', 'M', () => true, [made, { rule: { seed: 5 }, call: null }]));
  assert.equal(channel.read(buf, 0, 0, BLOCK, cb, 'r'), 0);
  settle();
  const calls = faults.configCalls();
  assert.deepEqual(calls, [
    {
      method: 'fault_add',
      params: { name: 'S', rule: 'op=read,action=error,errno=EBUSY,count=1,probability=0.25,seed=9' },
    },
    { method: 'fault_add', params: { name: 'S', rule: 'op=write,action=misdirect,misdirect_blocks=-4,seed=3' } },
    { method: 'make_it', params: { again: true } },
  ]);
  const before = faults.list('S').map(({ rule }) => rule);
  await cluster.until(faults.clear('S'));
  assert.deepEqual(faults.configCalls(), []);
  for (const { method, params } of calls) if (method === 'fault_add') await add(params.rule as string);
  assert.deepEqual(
    faults.list('S').map(({ rule }) => rule),
    before.slice(0, 2),
  );
  await tearDown();
});

test('a module replaces its own rules, in their place', async () => {
  const { cluster, add, faults, tearDown } = await faulty();
  const rules = () => faults.list('S').map(({ rule }) => rule.errno);
  const put = (errno: string, ...errnos: string[]) =>
    cluster.until(
      faults.replace(
        'S',
        'M',
        (rule) => rule.errno === errno,
        errnos.map((each) => ({ rule: { errno: each }, call: null })),
      ),
    );
  await put('EIO', 'EIO', 'EBUSY');
  await add('errno=EIO');
  assert.deepEqual(rules(), ['EIO', 'EBUSY', 'EIO']);
  await put('EIO', 'ENOSPC', 'EPERM');
  assert.deepEqual(rules(), ['ENOSPC', 'EPERM', 'EBUSY', 'EIO'], 'what was added stays');
  await put('none', 'EROFS');
  assert.deepEqual(rules(), ['ENOSPC', 'EPERM', 'EBUSY', 'EIO', 'EROFS']);
  await assert.rejects(put('none', ...Array.from({ length: 300 }, () => 'EIO')), {
    code: 'ENOSPC',
    message: /"S".*5 fault rules, limit 256/,
  });
  assert.equal(rules().length, 5);
  await tearDown();
});
