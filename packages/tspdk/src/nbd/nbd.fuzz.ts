/**
 * Fuzzes the NBD target over TCP: many hostile clients at once, beside one that is honest, against a real application.
 *
 * Promises checked: the target lives; the honest client's data is what it wrote, all the time; the disk has changed nowhere
 * that no valid request could reach; when the hostile ones are gone, every connection, request slot, buffer and lane is back; memory
 * does not grow with the number of clients served.
 * TSPDK_FUZZ_SECONDS says how long (5), TSPDK_SEED replays.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { heldIoBufs } from '../env/iobuf.ts';
import { limits } from '../env/limits.ts';
import { Random } from '../env/random.ts';
import type { App } from '../event/index.ts';
import { log } from '../log/index.ts';
import type { SockAddress } from '../sock/index.ts';
import { cat, clientFlags, go, metaContext, option, request, text, u16, u32, u64 } from './client.sim.ts';
import type { NbdTarget } from './index.ts';
import { SocketClient } from './socket-client.sim.ts';
import { makeMemoryDisk, withTarget } from './target-fixture.sim.ts';

const seed = process.env.TSPDK_SEED === undefined ? (Math.random() * 2 ** 32) >>> 0 : Number(process.env.TSPDK_SEED);
const seconds = Number(process.env.TSPDK_FUZZ_SECONDS ?? 5);
const random = new Random(seed);
const GROWTH_BYTES_MAX = 300 * 1024 * 1024;
const HOSTILE_AT_ONCE = 24;
const DISK_BYTES = 16 * 1024 * 1024;
/** No hostile client finds this name. */
const HONEST = `honest-${random.u32()}-${random.u32()}`;

function bytes(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, () => random.int(256));
}
function integer32(): number {
  const edges = [0, 1, 27, 28, 511, 512, 4096, 65536, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
  return random.chance(0.7)
    ? random.pick([...edges, limits.nbd_payload_bytes_max, limits.nbd_payload_bytes_max + 1])
    : random.u32();
}
function integer64(): bigint {
  const edges = [
    0n,
    512n,
    BigInt(DISK_BYTES - 512),
    BigInt(DISK_BYTES),
    2n ** 32n,
    2n ** 53n,
    2n ** 63n,
    2n ** 64n - 512n,
  ];
  return random.chance(0.7) ? random.pick(edges) : (BigInt(random.u32()) << 32n) | BigInt(random.u32());
}
function name(): string {
  return random.pick(['', 'disk', 'readonly', 'none', 'x'.repeat(4096), 'x'.repeat(4097), 'ü\n\u001b[31m']);
}

/** Valid bytes made wrong: a bit flipped, cut short, repeated, or with something in between. */
function spoil(data: Uint8Array): Uint8Array {
  const copy = data.slice();
  const at = random.int(Math.max(1, copy.length));
  switch (random.int(5)) {
    case 0:
      if (copy.length > 0) copy[at] ^= 1 << random.int(8);
      return copy;
    case 1:
      return copy.subarray(0, at);
    case 2:
      return cat(copy, copy);
    case 3:
      return cat(copy.subarray(0, at), bytes(random.int(40)), copy.subarray(at));
    default:
      return cat(copy.subarray(0, at), u32(integer32()), copy.subarray(Math.min(copy.length, at + 4)));
  }
}

function randomOption(): Uint8Array {
  switch (random.int(8)) {
    case 0:
      return option(random.int(14), bytes(random.int(64)));
    case 1:
      return go(name(), [0, 1, 2, 3, random.int(65536)].slice(random.int(5)), random.pick([6, 7]));
    case 2:
      return metaContext(random.pick([9, 10]), name(), ['base:allocation', 'base:', 'x', 'x-y:z'].slice(random.int(4)));
    case 3:
      return option(3);
    case 4:
      return option(8);
    case 5:
      return cat(text('IHAVEOPT'), u32(random.int(14)), u32(integer32()), bytes(random.int(64)));
    case 6:
      return option(random.pick([6, 7, 9, 10]), cat(u32(integer32()), bytes(random.int(64)), u16(random.int(65536))));
    default:
      return option(1, text(name()));
  }
}

function randomRequest(): Uint8Array {
  const type = random.chance(0.9) ? random.int(9) : random.int(65536);
  const flags = random.chance(0.7) ? 0 : random.int(65536);
  const cookie = integer64();
  if (random.chance(0.4)) {
    // Valid, so that slots and buffers are in use when the rest goes wrong.
    const length = random.pick([512, 4096, 65536, 262144, 1048576]);
    const offset = random.int((DISK_BYTES - length) / 512) * 512;
    if (random.chance(0.5)) return request({ type: 0, cookie, offset, length });
    return request({ type: 1, cookie, offset, data: new Uint8Array(Math.min(length, 300_000)).fill(random.int(256)) });
  }
  if (type !== 1) return request({ type, flags, cookie, offset: integer64(), length: integer32() });
  const length = integer32();
  const sent = random.chance(0.5) ? Math.min(length, 100_000) : random.int(1000);
  return cat(u32(0x25609513), u16(flags), u16(1), u64(cookie), u64(integer64()), u32(length), bytes(sent));
}

/** What one hostile client says. */
function* speech(): Generator<Uint8Array> {
  if (random.chance(0.1)) {
    yield bytes(random.int(5000));
    return;
  }
  yield clientFlags(random.chance(0.9) ? random.int(4) : random.u32());
  const wrongAt = random.chance(0.5) ? random.int(12) : -1;
  let said = 0;
  for (let i = random.int(6); i > 0; i--) {
    const next = randomOption();
    yield said++ === wrongAt ? spoil(next) : next;
  }
  if (random.chance(0.8)) {
    if (random.chance(0.5)) yield cat(option(8), metaContext(10, 'disk', ['base:allocation']));
    yield go(random.pick(['disk', 'disk', 'readonly']));
  }
  for (let i = random.int(60); i > 0; i--) {
    const next = randomRequest();
    yield said++ === wrongAt ? spoil(next) : next;
  }
}

/** Plays one hostile client to its end. Most read what they are told, some never do. */
async function hostile(address: SockAddress): Promise<void> {
  const client = await SocketClient.open(address).catch(() => null);
  if (client === null) return;
  if (random.chance(0.3)) client.socket.pause();
  for (const part of speech()) {
    if (client.socket.destroyed) return;
    if (random.chance(0.2)) {
      const at = random.int(part.length + 1);
      client.say(part.subarray(0, at));
      await turn();
      client.say(part.subarray(at));
    } else client.say(part);
    if (random.chance(0.3)) await turn();
  }
  for (let i = random.int(20); i > 0; i--) await turn();
  if (random.chance(0.3)) {
    client.socket.resume();
    client.socket.end();
    // A half-closed connection, or one whose options made sense, ends when the target says so, or when we do.
    for (let i = 0; i < 50 && !client.socket.destroyed; i++) await turn();
  }
  if (random.chance(0.5)) client.socket.resetAndDestroy();
  else client.destroy();
  await client.closed;
}

/** Writes and reads its own disk all the time. */
class Honest {
  readonly #client: SocketClient;
  readonly #expected = new Uint8Array(1048576);
  rounds = 0;
  constructor(client: SocketClient) {
    this.#client = client;
  }
  async round(): Promise<void> {
    const length = random.pick([1, 512, 4096, 40_000, 200_000]);
    const offset = random.int(this.#expected.length - length);
    const data = bytes(length);
    this.#expected.set(data, offset);
    await this.#client.write(offset, data);
    const from = random.int(this.#expected.length / 2);
    const read = await this.#client.read(from, 100_000);
    assert.ok(
      Buffer.compare(read, this.#expected.subarray(from, from + 100_000)) === 0,
      'the honest client reads what it wrote',
    );
    this.rounds++;
  }
}

async function untilOnly(target: NbdTarget, count: number): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const left = await target.connections();
    if (left.length <= count) return;
    assert.ok(performance.now() < deadline, `connections stay: ${JSON.stringify(left)}`);
    await turn();
  }
}

function assertNothingHeld(app: App): void {
  assert.deepEqual(heldIoBufs(app.fabric.iobuf), [], 'every I/O buffer is back');
}

test(`hostile clients for ${seconds} s, TSPDK_SEED=${seed}`, async () => {
  console.log(`TSPDK_SEED=${seed}`);
  log.setPrintLevel('ERROR');
  const rc = await withTarget(
    async ({ app, target, address }) => {
      await makeMemoryDisk(app, 'ReadOnly', DISK_BYTES);
      await target.addExport({ name: 'readonly', bdevName: 'ReadOnly', readOnly: true });
      await makeMemoryDisk(app, 'Honest', 1048576);
      await target.addExport({ name: HONEST, bdevName: 'Honest' });
      const honest = new Honest(await SocketClient.enter(address, HONEST));
      const deadline = performance.now() + seconds * 1000;
      let served = 0;
      let rssWarm = 0;
      const attack = async (): Promise<void> => {
        while (performance.now() < deadline) {
          await hostile(address);
          if (++served === 200) rssWarm = process.memoryUsage.rss();
        }
      };
      const attacks = Array.from({ length: HOSTILE_AT_ONCE }, attack);
      while (performance.now() < deadline) await honest.round();
      await Promise.all(attacks);
      await untilOnly(target, 1);
      await honest.round();
      assertNothingHeld(app);
      const watcher = await SocketClient.enter(address, 'readonly');
      for (let at = 0; at < DISK_BYTES; at += 1048576) {
        assert.ok(
          (await watcher.read(at, 1048576)).every((byte) => byte === 0),
          'a read-only disk has not changed',
        );
      }
      const grown = process.memoryUsage.rss() - rssWarm;
      if (rssWarm > 0) assert.ok(grown < GROWTH_BYTES_MAX, `resident memory has grown by ${grown} bytes`);
      console.log(`${served} hostile clients, ${honest.rounds} honest rounds, ${grown >> 20} MiB grown`);
    },
    { sizeBytes: DISK_BYTES },
  );
  assert.equal(rc, 0, 'nothing leaked');
});

test('thousands of connections at once: those beyond the limit are closed, the others served', async () => {
  log.setPrintLevel('ERROR');
  const rc = await withTarget(async ({ target, address }) => {
    const honest = new Honest(await SocketClient.enter(address, 'disk'));
    const clients: SocketClient[] = [];
    for (let i = 0; i < limits.nbd_connections_max + 500; i += 50) {
      const some = await Promise.allSettled(Array.from({ length: 50 }, () => SocketClient.open(address)));
      for (const each of some) if (each.status === 'fulfilled') clients.push(each.value);
      await honest.round();
    }
    const known = await target.connections();
    assert.equal(known.length, limits.nbd_connections_max);
    for (const client of clients) client.destroy();
    await untilOnly(target, 1);
    await honest.round();
    const late = await SocketClient.enter(address, 'disk');
    await late.disconnect();
  });
  assert.equal(rc, 0);
});
