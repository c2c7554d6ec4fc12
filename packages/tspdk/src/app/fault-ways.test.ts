/**
 * Each fault, said in each of the ways there are, does the same to a client: parameters of `fault_add`, a rule as text, words of `tspdk rpc`, `t.faults.add`, a disk's name, and
 * `--fault`. One table of rules with what a client must see of each; every way makes a disk with all of them, each for a range of its own.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { FaultInput } from '../bdev/index.ts';
import { drawAt } from '../env/random.ts';
import { parseNbdAddress } from '../nbd/index.ts';
import { SocketClient } from '../nbd/socket-client.sim.ts';
import { RpcClient, rpcMain } from '../rpc/index.ts';
import { startTarget, type Target } from './start-target.ts';

const BLOCK = 512;
const BLOCKS = 16;
const [WRITE, FLUSH, TRIM, ZEROES] = [1, 3, 4, 6];
const [EPERM, EIO, ENOSPC] = [1, 5, 28];

/** A disk with all rules, from the place of one of them. */
class Place {
  readonly #client: SocketClient;
  readonly #rpc: RpcClient;
  readonly #disk: string;
  readonly #at: number;

  constructor(client: SocketClient, rpc: RpcClient, disk: string, at: number) {
    this.#client = client;
    this.#rpc = rpc;
    this.#disk = disk;
    this.#at = at;
  }

  /** The NBD error. */
  async ask(type: number, block = 0, blocks = 1): Promise<number> {
    const flush = type === FLUSH;
    const reply = await this.#client.ask({
      type,
      offset: flush ? 0 : (this.#at + block) * BLOCK,
      length: flush ? 0 : blocks * BLOCK,
    });
    return reply.error;
  }

  async write(value: number, block = 0, blocks = 1): Promise<number> {
    const data = new Uint8Array(blocks * BLOCK).fill(value);
    return (await this.#client.ask({ type: WRITE, offset: (this.#at + block) * BLOCK, data })).error;
  }

  async writes(count: number): Promise<number[]> {
    const errors: number[] = [];
    for (let i = 0; i < count; i++) errors.push(await this.write(1));
    return errors;
  }

  /** Where a block is not zero: the bytes' places and values; all alike: the value. */
  async read(block = 0): Promise<number | Record<number, number>> {
    const data = await this.#client.read((this.#at + block) * BLOCK, BLOCK);
    if (data.every((byte) => byte === data[1])) return data[1];
    return Object.fromEntries([...data.entries()].filter(([, byte]) => byte !== data[1]));
  }

  resume(): Promise<unknown> {
    return this.#rpc.call('fault_resume', { name: this.#disk });
  }

  async struck(): Promise<number[]> {
    const rules = (await this.#rpc.call('fault_list', { name: this.#disk })) as {
      struck: number;
      offset_blocks: number;
    }[];
    return rules.filter((rule) => rule.offset_blocks === this.#at).map((rule) => rule.struck);
  }
}

/** Rules for one place, and what a client sees there. */
const TABLE: [what: string, rules: FaultInput[], see: (place: Place) => Promise<void>][] = [
  [
    'error at submission',
    [{ op: 'write', action: 'error', errno: 'ENOSPC', count: 1 }],
    async (p) => assert.deepEqual([await p.write(1), await p.read(), await p.write(2)], [ENOSPC, 0, 0]),
  ],
  [
    'error at completion',
    [{ op: 'write', stage: 'completion', count: 1 }],
    async (p) => assert.deepEqual([await p.write(1), await p.read()], [EIO, 1]),
  ],
  [
    'nomem',
    [{ op: 'read', action: 'nomem', count: 1 }],
    async (p) => assert.deepEqual([await p.read(), await p.struck()], [0, [1]]),
  ],
  [
    'delay, of each distribution',
    [
      { op: 'read', action: 'delay', delay_us: 20, count: 1 },
      { op: 'read', action: 'delay', delay_us: 20, delay_max_us: 400, distribution: 'uniform', count: 1 },
      { op: 'read', action: 'delay', delay_us: 20, distribution: 'exponential', stage: 'completion', count: 1 },
      { op: 'read', action: 'delay', delay_us: 20, delay_max_us: 400, distribution: 'p99', count: 1 },
    ],
    async (p) => {
      for (let i = 0; i < 4; i++) assert.equal(await p.read(), 0);
      assert.deepEqual(await p.struck(), [1, 1, 1, 1]);
    },
  ],
  [
    'delay, and then an error',
    [
      { op: 'write', action: 'delay', delay_us: 20, errno: 'ENOSPC', count: 1 },
      { op: 'write', action: 'delay', delay_us: 20, errno: 'EPERM', stage: 'completion', count: 1 },
    ],
    async (p) =>
      assert.deepEqual([await p.write(1), await p.read(), await p.write(2), await p.read()], [ENOSPC, 0, EPERM, 2]),
  ],
  [
    'corrupt',
    [
      { op: 'write', action: 'corrupt', corrupt_offset: 5, corrupt_value: 3, count: 1 },
      { op: 'read', action: 'corrupt', corrupt_offset: 9, count: 1 },
    ],
    async (p) => {
      assert.equal(await p.write(1), 0);
      assert.deepEqual([await p.read(), await p.read()], [{ 5: 2, 9: 254 }, { 5: 2 }]);
    },
  ],
  [
    'torn',
    [{ op: 'write', action: 'torn', torn_blocks: 1, errno: 'EIO', count: 1 }],
    async (p) => assert.deepEqual([await p.write(1, 0, 2), await p.read(0), await p.read(1)], [EIO, 1, 0]),
  ],
  [
    'misdirect, forth and back',
    [
      { op: 'write', action: 'misdirect', misdirect_blocks: 3, count: 1 },
      { op: 'write', action: 'misdirect', misdirect_blocks: -3, count: 1 },
    ],
    async (p) => {
      assert.deepEqual([await p.write(1, 5), await p.write(2, 5)], [0, 0]);
      assert.deepEqual([await p.read(2), await p.read(5), await p.read(8)], [2, 0, 1]);
    },
  ],
  [
    'lost',
    [{ op: 'write', action: 'lost', count: 1 }],
    async (p) => assert.deepEqual([await p.write(1), await p.read()], [0, 0]),
  ],
  [
    'stuck',
    [{ op: 'write', action: 'stuck', count: 1 }],
    async (p) => {
      const write = p.write(1);
      // What comes behind it on the connection is done before.
      assert.equal(await p.read(1), 0);
      assert.equal(await p.resume(), 1);
      assert.deepEqual([await write, await p.read()], [0, 1]);
    },
  ],
  [
    'set_state, and rules of a state',
    [
      { op: 'write', action: 'set_state', state: 1, new_state: 2, count: 1 },
      { op: 'write', errno: 'EPERM', state: 2, new_state: 1 },
    ],
    async (p) => assert.deepEqual(await p.writes(3), [0, EPERM, 0]),
  ],
  [
    'other operations',
    [
      { op: 'unmap', errno: 'EPERM' },
      { op: 'write_zeroes', action: 'lost' },
    ],
    async (p) => {
      assert.deepEqual([await p.write(1), await p.ask(TRIM), await p.ask(ZEROES), await p.read()], [0, EPERM, 0, 1]);
    },
  ],
  [
    'skip, every, count',
    [{ op: 'write', errno: 'EPERM', skip: 1, every: 2, count: 2 }],
    async (p) => assert.deepEqual(await p.writes(8), [0, 0, EPERM, 0, EPERM, 0, 0, 0]),
  ],
  [
    'probability with a seed',
    [{ op: 'write', errno: 'EPERM', probability: 0.5, seed: 7 }],
    async (p) => {
      const drawn = Array.from({ length: 12 }, (_, n) => (drawAt(7, 0, n) < 0.5 ? EPERM : 0));
      assert.deepEqual(await p.writes(12), drawn);
    },
  ],
  [
    'times, connections and depths that are not now',
    [
      { op: 'write', errno: 'EPERM', start_ms: 3_600_000 },
      { op: 'write', errno: 'EPERM', connection: 4242 },
      { op: 'write', errno: 'EPERM', queue_depth: 100 },
      { op: 'write', errno: 'ENOSPC', duration_ms: 3_600_000 },
    ],
    async (p) => assert.deepEqual([await p.write(1), await p.struck()], [ENOSPC, [0, 0, 0, 1]]),
  ],
];
/** For what has no place, or no way through NBD. */
const PLACELESS: FaultInput[] = [
  { op: 'flush', action: 'lost' },
  { op: 'reset', errno: 'EBUSY' },
  { op: 'abort', action: 'lost' },
];
const RULES: FaultInput[] = [
  ...TABLE.flatMap(([, rules], i) =>
    rules.map((rule) => ({ ...rule, offset_blocks: (i + 1) * BLOCKS, num_blocks: BLOCKS, seed: rule.seed ?? i + 1 })),
  ),
  ...PLACELESS.map((rule) => ({ ...rule, seed: 99 })),
];
const textOf = (rule: FaultInput): string =>
  Object.entries(rule)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');

const dir = mkdtempSync(join(tmpdir(), 'fault-ways-'));
const cli = fileURLToPath(new URL('./cli.js', import.meta.url));
let target: Target;

before(async () => {
  const named = `1M?${RULES.map((rule) => `fault=${textOf(rule)}`).join('&')}`;
  target = await startTarget({ disks: { fields: '1M', text: '1M', words: '1M', object: '1M', named } });
});
after(async () => {
  await target.stop();
  rmSync(dir, { recursive: true });
});

/** What a client of the disk sees, and that its rules are those of the table. */
async function seen(rpc: RpcClient, disk: string, uri: string): Promise<void> {
  const { address, exportName } = parseNbdAddress(uri);
  const client = await SocketClient.enter(address, exportName);
  for (const [i, [what, , see]] of TABLE.entries()) {
    try {
      await see(new Place(client, rpc, disk, (i + 1) * BLOCKS));
    } catch (error) {
      throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
    }
  }
  assert.equal((await client.ask({ type: FLUSH })).error, 0);
  const rules = (await rpc.call('fault_list', { name: disk })) as { op: string; struck: number }[];
  assert.equal(rules.length, RULES.length);
  assert.equal(rules.find(({ op }) => op === 'flush')?.struck, 1);
  await client.disconnect();
}

/** The target's RPC socket lies beside that of NBD. */
const rpcSocket = (): string => join(dirname(decodeURIComponent(target.uri('text').split('socket=')[1])), 'rpc.sock');

/** One way of adding a rule to a disk of the target. */
function way(disk: string, title: string, add: (rule: FaultInput) => Promise<unknown>): void {
  test(title, async () => {
    for (const rule of RULES) await add(rule);
    const rpc = await RpcClient.connect({ path: rpcSocket() });
    await seen(rpc, disk, target.uri(disk));
    await rpc.close();
  });
}

way('fields', 'fault_add with parameters', (rule) => target.rpc('fault_add', { name: 'fields', ...rule }));
way('text', 'fault_add with a rule as text', (rule) => target.rpc('fault_add', { name: 'text', rule: textOf(rule) }));
way('object', 't.faults.add', (rule) => target.faults.add('object', rule));
way('words', 'tspdk rpc fault_add', async (rule) => {
  const said: string[] = [];
  const words = Object.entries(rule).flatMap(([key, value]) => [`--${key}`, String(value)]);
  const code = await rpcMain(['-s', rpcSocket(), 'fault_add', '--name', 'words', ...words], {
    out: (text) => void said.push(text),
    err: (text) => void said.push(text),
  });
  assert.equal(code, 0, said.join('\n'));
});
way('named', 'behind a disk’s name', async () => {});

test('a rule of no words is refused however it is said', async () => {
  const empty = /fault rule "": "" is not key=value/;
  await assert.rejects(target.rpc('fault_add', { name: 'text', rule: '' }), empty);
  await assert.rejects(target.faults.add('text', ''), empty);
  await assert.rejects(startTarget({ disks: { disk0: '1M?fault=' } }), empty);
});

test('tspdk serve --fault', async () => {
  const socket = join(dir, 'rpc.sock');
  const faults = RULES.flatMap((rule) => ['--fault', textOf(rule)]);
  const args = ['serve', '--no-pin', '1M', '--nbd', `unix:${join(dir, 'nbd.sock')}`, '--rpc-socket', socket, ...faults];
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  const exit = once(child, 'exit');
  try {
    let said = '';
    for await (const part of child.stdout.setEncoding('utf8')) {
      said += String(part);
      if (said.includes('stop:')) break;
    }
    assert.match(said, /stop:/);
    const rpc = await RpcClient.connect({ path: socket });
    const [{ name }] = (await rpc.call('bdev_get_bdevs')) as { name: string }[];
    await seen(rpc, name, `nbd+unix:///disk?socket=${join(dir, 'nbd.sock')}`);
    await rpc.close();
  } finally {
    child.kill('SIGINT');
  }
  assert.deepEqual(await exit, [0, null]);
});
