/**
 * Fuzzes the JSON-RPC server over real sockets: good, bad and rude clients at once.
 *
 * Promises checked: the server lives; each well-formed request with an id is answered exactly once; what comes after
 * garbage is not answered as if nothing had happened; a good client beside them never notices; connections and memory
 * do not pile up.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Random } from '../env/random.ts';
import { Log } from '../log/index.ts';
import { RpcClient } from './client.ts';
import { stringifyJson } from './json.ts';
import { cut, fuzzDeadlineMs, fuzzRandom, randomValue, spoil } from './json-fixture.sim.ts';
import { RPC_RUNTIME, RPC_STARTUP, RpcRegistry } from './registry.ts';
import { RpcError } from './rpc-error.ts';
import { RpcServer } from './server.ts';

const METHODS = ['echo', 'later', 'fail', 'blob', 'unknown', 'runtime'];
const GROWTH_BYTES_MAX = 300 * 1024 * 1024;

function fuzzRegistry(): RpcRegistry {
  const registry = new RpcRegistry({ log: new Log({ print: () => {} }).register('rpc') });
  const params = [{ name: 'any', type: 'object' }] as const;
  const states = RPC_STARTUP | RPC_RUNTIME;
  registry.register({ name: 'echo', states, params, summary: '', handler: (given) => given.any ?? null });
  registry.register({ name: 'later', states, params, summary: '', handler: () => turn('late') });
  registry.register({ name: 'blob', states, params, summary: '', handler: () => 'x'.repeat(20_000) });
  registry.register({ name: 'runtime', states: RPC_RUNTIME, params, summary: '', handler: () => true });
  registry.register({
    name: 'fail',
    states,
    params,
    summary: '',
    handler: () => Promise.reject(new RpcError(-5, 'Input/output error')),
  });
  return registry;
}

/** A request, and the id under which it must be answered; null: none need be. */
function randomRequest(random: Random, id: string): { value: Record<string, unknown>; id: string | null } {
  const value: Record<string, unknown> = { jsonrpc: '2.0', method: random.pick(METHODS) };
  if (random.chance(0.5))
    value.params = random.chance(0.7) ? { any: { v: randomValue(random, 3) } } : randomValue(random, 2);
  // Parameters that are neither object nor null make it no request at all.
  const wellFormed = value.params === undefined || typeof value.params === 'object';
  if (random.chance(0.15)) return { value, id: null };
  value.id = id;
  return { value, id: wellFormed ? id : null };
}

/** Some requests and batches as bytes, with the ids to be answered. */
function randomStream(random: Random, name: string): { bytes: Buffer; ids: string[] } {
  const ids: string[] = [];
  const texts: string[] = [];
  const add = (index: string): Record<string, unknown> => {
    const request = randomRequest(random, `${name}.${index}`);
    if (request.id !== null) ids.push(request.id);
    return request.value;
  };
  for (let item = random.int(12); item >= 0; item--) {
    if (random.chance(0.8)) texts.push(stringifyJson(add(String(item))));
    else texts.push(stringifyJson(Array.from({ length: 1 + random.int(5) }, (_, index) => add(`${item}-${index}`))));
  }
  return { bytes: Buffer.from(texts.join(random.pick(['', '\n', '  ']))), ids };
}

async function send(random: Random, socket: Socket, bytes: Buffer): Promise<void> {
  for (const piece of cut(random, bytes)) {
    if (socket.destroyed || !socket.writable) return;
    socket.write(piece);
    if (random.chance(0.1)) await turn();
  }
}

/** Well-formed requests, then perhaps garbage: each id is answered once, nothing else with an id is. */
async function goodThenBad(random: Random, address: string, name: string): Promise<number> {
  const { bytes, ids } = randomStream(random, name);
  const socket = connect({ path: address, allowHalfOpen: true });
  socket.on('error', () => {});
  let text = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    text += chunk;
  });
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await once(socket, 'connect');
  await send(random, socket, bytes);
  const garbage = random.chance(0.5);
  if (garbage)
    await send(
      random,
      socket,
      Buffer.concat([Buffer.from('\n'), spoil(random, spoil(random, bytes)), Buffer.from('}')]),
    );
  socket.end();
  await closed;
  const seen = new Map<unknown, number>();
  for (const line of text.split('\n').filter((part) => part !== '')) {
    const reply = JSON.parse(line) as Record<string, unknown> | Record<string, unknown>[];
    for (const one of [reply].flat()) {
      assert.equal(one.jsonrpc, '2.0');
      assert.ok('result' in one !== 'error' in one);
      seen.set(one.id, (seen.get(one.id) ?? 0) + 1);
    }
  }
  for (const id of ids) {
    // What was spoilt may by chance repeat a request as it was.
    const count = seen.get(id) ?? 0;
    assert.ok(garbage ? count >= 1 : count === 1, `${id} was answered ${count} times`);
  }
  return ids.length;
}

/** Sends what it likes, and leaves without a word or stays deaf for a while. */
async function rude(random: Random, address: string): Promise<void> {
  const { bytes } = randomStream(random, 'rude');
  const socket = connect({ path: address });
  socket.on('error', () => {});
  await once(socket, 'connect');
  if (random.chance(0.5)) socket.pause();
  else socket.resume();
  const times = random.pick([1, 1, 1, 50]);
  for (let round = 0; round < times; round++)
    await send(random, socket, random.chance(0.5) ? spoil(random, bytes) : bytes);
  for (let turns = random.int(5); turns > 0; turns--) await turn();
  socket.destroy();
}

test('JSON-RPC server', async (t) => {
  const random = fuzzRandom();
  const deadline = fuzzDeadlineMs();
  console.log(`# rpc server fuzz: TSPDK_SEED=${random.seed}`);
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-rpc-'));
  const registry = fuzzRegistry();
  const component = new Log({ print: () => {} }).register('rpc');
  const server = await RpcServer.listen(registry, { address: join(dir, 's'), log: component });
  const bystander = await RpcClient.connect(server.address);
  t.after(async () => {
    await bystander.close();
    await server.close();
    rmSync(dir, { recursive: true });
  });
  let answered = 0;
  let before = 0;
  let rounds = 0;
  for (; performance.now() < deadline; rounds++) {
    // A generator for each: what a client does must not depend on when the others do it.
    const clients = Array.from({ length: 1 + random.int(6) }, async (_, index) => {
      const own = new Random(random.u32());
      if (own.chance(0.3)) await rude(own, server.address);
      else answered += await goodThenBad(own, server.address, `${rounds}.${index}`);
    });
    const ping = bystander.call('echo', { any: { rounds } });
    await Promise.all(clients);
    assert.deepEqual(await ping, { rounds });
    if (rounds === 50) before = process.memoryUsage().rss;
  }
  for (let turns = 0; server.connections > 1 && turns < 10_000; turns++) await turn();
  assert.equal(server.connections, 1, 'connections are left over');
  const grown = before === 0 ? 0 : process.memoryUsage().rss - before;
  assert.ok(grown < GROWTH_BYTES_MAX, `memory grew by ${grown} bytes`);
  assert.ok(answered > 0);
  t.diagnostic(`${rounds} rounds, ${answered} requests answered once, seed ${random.seed}`);
});
