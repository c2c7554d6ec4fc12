// What a peer must not send, and sends: each costs at most its own connection. After each, a well-behaved client reads what it always read.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { runOk } from './client.ts';
import type { Server, ServerOptions } from './nbd-server.ts';
import { command, commandFlag, RawClient, type Request, u32 } from './raw-client.ts';
import { requiresServer, startServer } from './server.ts';

const sizeBytes = 64 << 20;
const mark = Buffer.alloc(4096, 0x5a);
// The protocol's error numbers.
const [EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW] = [5, 12, 22, 28, 75];

/** A server whose first 4 KiB hold the mark. */
async function markedServer(t: TestContext, options: Partial<ServerOptions> = {}): Promise<Server> {
  const server = await startServer(t, { sizeBytes, reactors: 2, ...options });
  const client = await RawClient.open(server);
  assert.equal((await client.request({ type: command.write, data: mark })).error, 0);
  client.close();
  return server;
}

/** The server still serves, and what was written is what is read. */
async function assertHealthy(server: Server): Promise<void> {
  const client = await RawClient.open(server);
  const { error, data } = await client.request({ type: command.read, length: mark.length });
  assert.equal(error, 0);
  assert.deepEqual(data, mark);
  client.close();
}

// Not on nbdkit 1.32.5: it aborts (`sock >= 0`) when a peer goes away with replies outstanding. qemu-nbd passes all of this file.

// libnbd checks what it sends unless told not to. Every line is a request that must fail with one of the errors, or (where 0 is among them) may succeed.
const nbdshScript = `
import errno, nbd, sys
h = nbd.NBD()
h.set_strict_mode(0)
h.connect_uri(sys.argv[1])
size = h.get_size()
big = 48 << 20
cases = {
  'read at the end': (lambda: h.pread(512, size), [errno.EINVAL]),
  'read across the end': (lambda: h.pread(1024, size - 512), [errno.EINVAL]),
  'write at the end': (lambda: h.pwrite(bytes(512), size), [errno.ENOSPC, errno.EINVAL]),
  'write across the end': (lambda: h.pwrite(bytes(1024), size - 512), [errno.ENOSPC, errno.EINVAL]),
  'zero across the end': (lambda: h.zero(1024, size - 512), [errno.ENOSPC, errno.EINVAL]),
  'trim across the end': (lambda: h.trim(1024, size - 512), [errno.EINVAL, errno.ENOSPC]),
  'cache across the end': (lambda: h.cache(1024, size - 512), [errno.EINVAL, 0]),
  'read with an unknown flag': (lambda: h.pread(512, 0, 1 << 13), [errno.EINVAL]),
  'write with an unknown flag': (lambda: h.pwrite(bytes(512), 4096, 1 << 13), [errno.EINVAL]),
  'write with DF': (lambda: h.pwrite(bytes(512), 4096, nbd.CMD_FLAG_DF), [errno.EINVAL]),
  'trim with NO_HOLE': (lambda: h.trim(512, 4096, nbd.CMD_FLAG_NO_HOLE), [errno.EINVAL]),
  'flush with a fast zero flag': (lambda: h.flush(nbd.CMD_FLAG_FAST_ZERO), [errno.EINVAL]),
  'block status, not negotiated': (lambda: h.block_status(512, 0, lambda *_: 0), [errno.EINVAL]),
  'an odd byte': (lambda: h.pread(1, 4097), [errno.EINVAL, 0]),
  'a large read': (lambda: h.pread(big, 4096), [errno.EINVAL, errno.EOVERFLOW, errno.ENOMEM, 0]),
  'a large write': (lambda: h.pwrite(bytes(big), 4096), [errno.EINVAL, errno.EOVERFLOW, errno.ENOMEM, errno.ENOTCONN, errno.ECONNRESET, 0]),
}
wrong = []
for name, (send, expected) in cases.items():
  found = 0
  try:
    send()
  except nbd.Error as error:
    found = error.errnum
  if found not in expected:
    wrong.append(f'{name}: error {found} ({errno.errorcode.get(found, "success")})')
  if not h.aio_is_ready():
    print(f'{name} ended the connection')
    h = nbd.NBD()
    h.set_strict_mode(0)
    h.connect_uri(sys.argv[1])
  if h.pread(512, 0) != b'\\x5a' * 512:
    wrong.append(f'{name}: other data afterwards')
print('\\n'.join(wrong))
sys.exit(len(wrong) > 0)
`;

test('libnbd without its checks: every forbidden request gets its error, and the connection goes on', async (t) => {
  if (!requiresServer(t, 'nbdsh')) return;
  const server = await markedServer(t);
  // Debian's own Python has the module; another one that stands first in PATH has not.
  const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';
  await runOk(python, ['-c', nbdshScript, server.uri]);
  await assertHealthy(server);
  await server.stop();
});

interface Forbidden extends Request {
  readonly name: string;
  readonly expected: readonly number[];
}

const requests: readonly Forbidden[] = [
  { name: 'an unknown command', type: 77, expected: [EINVAL] },
  { name: 'an unknown command with a length', type: 0x7fff, length: 4096, expected: [EINVAL] },
  { name: 'a read of 4 GiB', type: command.read, length: 0xffffffff, expected: [EINVAL, EOVERFLOW, ENOMEM, EIO] },
  { name: 'a read far outside', type: command.read, offset: 1n << 63n, length: 512, expected: [EINVAL] },
  { name: 'a read that wraps round', type: command.read, offset: -512, length: 1024, expected: [EINVAL] },
  {
    name: 'a write that wraps round',
    type: command.write,
    offset: -512,
    data: Buffer.alloc(1024),
    expected: [EINVAL, ENOSPC],
  },
  { name: 'a trim that wraps round', type: command.trim, offset: -1, length: 0xffffffff, expected: [EINVAL, ENOSPC] },
  { name: 'zeroes far outside', type: command.writeZeroes, offset: 1n << 62n, length: 512, expected: [EINVAL, ENOSPC] },
  { name: 'every flag at once', type: command.read, flags: 0xffff, length: 512, expected: [EINVAL] },
  {
    name: 'a fast zero flag on a read',
    type: command.read,
    flags: commandFlag.fastZero,
    length: 512,
    expected: [EINVAL],
  },
];

test('forbidden requests: an error, or the end of that connection', async (t) => {
  if (!requiresServer(t)) return;
  const server = await markedServer(t);
  for (const { name, expected, ...request } of requests) {
    const client = await RawClient.open(server);
    const error = await client.request(request).then(
      (reply) => reply.error,
      (reason: Error) => reason.message,
    );
    if (error !== 'the server ended the connection') {
      assert(expected.includes(error as number), `${name}: ${error}, not ${expected}`);
      const { data } = await client.request({ type: command.read, length: mark.length });
      assert.deepEqual(data, mark, name);
    }
    client.close();
    await assertHealthy(server);
  }
  await server.stop();
});

const broken: readonly (readonly [name: string, send: (client: RawClient) => void])[] = [
  ['half a request header', (client) => client.send(Buffer.alloc(11, 0x25))],
  [
    'a request without its magic',
    (client) => void client.sendRequest({ type: command.read, length: 512, magic: 0x12345678 }),
  ],
  [
    'half a payload',
    (client) => void client.sendRequest({ type: command.write, offset: 8192, length: 65536, data: Buffer.alloc(700) }),
  ],
  [
    'a write of 4 GiB that never comes',
    (client) => void client.sendRequest({ type: command.write, length: 0xffffffff }),
  ],
  [
    'a disconnect, and then more',
    (client) => {
      client.sendRequest({ type: command.disconnect });
      client.sendRequest({ type: command.read, length: 512 });
    },
  ],
  [
    'a flood of unknown commands',
    (client) => {
      for (let i = 0; i < 5000; i++) client.sendRequest({ type: 1000 + i });
    },
  ],
];

test('broken streams cost their own connection only', async (t) => {
  if (!requiresServer(t)) return;
  const server = await markedServer(t);
  for (const [, send] of broken) {
    const client = await RawClient.open(server);
    send(client);
    await assertHealthy(server);
    client.close();
    await assertHealthy(server);
  }
  await server.stop();
});

const handshakes: readonly (readonly [name: string, send: (client: RawClient) => void])[] = [
  ['nothing at all', () => undefined],
  ['another protocol', (client) => client.send(Buffer.from('GET / HTTP/1.1\r\nHost: disk\r\n\r\n'.repeat(20)))],
  ['unknown client flags', (client) => client.send(u32(0xffffffff))],
  [
    'an option of 4 GiB',
    (client) => {
      client.send(u32(3));
      client.sendOption(7, Buffer.alloc(100), 0xffffffff);
    },
  ],
  [
    'an export name of 4 GiB',
    (client) => {
      client.send(u32(3));
      client.sendOption(1, Buffer.alloc(100), 0xfffffff0);
    },
  ],
  [
    'GO whose inner lengths lie',
    (client) => {
      client.send(u32(3));
      client.sendOption(7, Buffer.concat([u32(0xfffffff0), Buffer.alloc(8)]));
    },
  ],
  [
    'META_CONTEXT that counts queries which are not there',
    (client) => {
      client.send(u32(3));
      client.sendOption(10, Buffer.concat([u32(0), u32(0xffffffff)]));
    },
  ],
  [
    'a flood of unknown options',
    (client) => {
      client.send(u32(3));
      for (let i = 0; i < 2000; i++) client.sendOption(100 + i, Buffer.alloc(0));
    },
  ],
  [
    'STARTTLS, then binary noise',
    (client) => {
      client.send(u32(3));
      client.sendOption(5, Buffer.alloc(0));
      client.send(Buffer.alloc(4096, 0x16));
    },
  ],
];

test('broken handshakes cost their own connection only', async (t) => {
  if (!requiresServer(t)) return;
  const server = await markedServer(t);
  for (const [, send] of handshakes) {
    const client = await RawClient.connect(server);
    send(client);
    await assertHealthy(server);
    client.close();
    await assertHealthy(server);
  }
  await server.stop();
});

test('a peer that never reads its replies keeps nobody else waiting, and costs bounded memory', async (t) => {
  if (!requiresServer(t)) return;
  const server = await markedServer(t);
  const before = residentMiB(server.pid);
  const deaf = [];
  for (let i = 0; i < 8; i++) {
    const client = await RawClient.open(server);
    client.socket.pause();
    for (let j = 0; j < 512; j++) client.sendRequest({ type: command.read, length: 1 << 20 });
    deaf.push(client);
  }
  for (let i = 0; i < 20; i++) await assertHealthy(server);
  // 4 GiB was asked for.
  assert(residentMiB(server.pid) - before < 512, `${residentMiB(server.pid)} MiB resident, ${before} before`);
  for (const client of deaf) client.close();
  await assertHealthy(server);
  await server.stop();
});

test('a thousand connections, and a thousand more that come and go', async (t) => {
  if (!requiresServer(t)) return;
  const server = await markedServer(t, { transport: 'tcp' });
  assert('port' in server.address);
  const { port } = server.address;
  const idle = [];
  for (let i = 0; i < 1000; i++) {
    // A server may refuse the later ones; what it must not do is fall.
    idle.push(connect({ host: '127.0.0.1', port }).on('error', () => undefined));
    if (i % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
  }
  for (const socket of idle) socket.destroy();
  await assertHealthy(server);
  for (let i = 0; i < 1000; i++) {
    const client = await RawClient.connect(server);
    if (i % 3 === 0) client.send(u32(3));
    client.close();
  }
  await assertHealthy(server);
  await server.stop();
});

function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}
