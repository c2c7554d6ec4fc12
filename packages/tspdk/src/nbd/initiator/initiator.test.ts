// Remote exports as disks: against a server that breaks off, lies, and comes back.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { BdevDesc, bdevRegistry, IO_FLAG_FUA, IO_FLAG_NO_HOLE } from '../../bdev/index.ts';
import { IoVecs } from '../../env/iovecs.ts';
import { Random } from '../../env/random.ts';
import { log } from '../../log/index.ts';
import { notifyOf } from '../../notify/index.ts';
import { withTarget } from '../target-fixture.sim.ts';
import * as wire from '../wire.ts';
import { create, io, withRemote } from './remote.sim.ts';
import { chunk, optionReply, ScriptedServer, type ServerScript, simple, u16, u32, u64 } from './server.sim.ts';

test('every kind of request, with simple and with structured replies, in pieces of memory that no block ends at', async () => {
  for (const structured of [true, false]) {
    const server = await ScriptedServer.start({ structured });
    await withRemote(server, async ({ app, bdev, channel, memory }) => {
      assert.equal(bdev.blocks, 2048);
      for (let i = 0; i < 100_000; i++) memory.u8[i] = i * 7 + (i >> 8);
      const [out, back] = [new IoVecs(150), new IoVecs(150)];
      for (let i = 0; i < 128; i++) {
        out.push(memory, i * 520, 512);
        back.push(memory, 200_000 + i * 600, 512);
      }
      assert.equal(await io(app, (cb) => channel.writev(out, 4096, cb, null)), 0);
      assert.equal(await io(app, (cb) => channel.writeZeroes(8192, 4096, IO_FLAG_NO_HOLE, cb, null)), 0);
      assert.equal(await io(app, (cb) => channel.unmap(16384, 8192, cb, null)), 0);
      assert.equal(await io(app, (cb) => channel.flush(0, 1 << 20, cb, null)), 0);
      assert.equal(await io(app, (cb) => channel.readv(back, 4096, cb, null)), 0);
      for (let i = 0; i < 128; i++) {
        const at = 4096 + i * 512;
        const zero = (at >= 8192 && at < 12288) || (at >= 16384 && at < 24576);
        const expected = zero ? new Uint8Array(512) : memory.u8.slice(i * 520, i * 520 + 512);
        assert.deepEqual(memory.u8.slice(200_000 + i * 600, 200_000 + i * 600 + 512), expected, `block ${i}`);
      }
      const zeroes = server.asked.find(({ type }) => type === wire.CMD_WRITE_ZEROES);
      assert.deepEqual([zeroes?.flags, zeroes?.length], [wire.CMD_FLAG_NO_HOLE, 4096]);
      assert.ok(server.asked.every(({ type, length }) => type !== wire.CMD_FLUSH || length === 0));
    });
  }
});

test('what must last is flushed where the server has no FUA; a read-only export takes no writes', async () => {
  const flags = wire.TX_HAS_FLAGS | wire.TX_SEND_FLUSH;
  const server = await ScriptedServer.start({ flags });
  await withRemote(server, async ({ app, channel, memory }) => {
    assert.equal(await io(app, (cb) => channel.write(memory, 0, 0, 512, cb, null, IO_FLAG_FUA)), 0);
    assert.equal(await io(app, (cb) => channel.write(memory, 0, 0, 512, cb, null)), 0);
    assert.deepEqual(
      server.asked.map(({ type, flags }) => [type, flags]),
      [
        [wire.CMD_WRITE, 0],
        [wire.CMD_FLUSH, 0],
        [wire.CMD_WRITE, 0],
      ],
    );
  });
  const dies = await ScriptedServer.start({ flags });
  await withRemote(dies, async ({ app, channel, memory }) => {
    let flushes = 0;
    dies.script.request = (asked, socket, own) => {
      if (asked.type === wire.CMD_FLUSH && ++flushes === 1) socket.destroy();
      else own.answer(asked, socket);
    };
    assert.equal(await io(app, (cb) => channel.write(memory, 0, 0, 512, cb, null, IO_FLAG_FUA)), 0);
    // The one that comes back may have lost what the one that went had only taken.
    assert.deepEqual(
      dies.asked.map(({ type }) => type),
      [wire.CMD_WRITE, wire.CMD_FLUSH, wire.CMD_WRITE, wire.CMD_FLUSH],
    );
  });
  const withFua = await ScriptedServer.start();
  await withRemote(withFua, async ({ app, channel, memory }) => {
    assert.equal(await io(app, (cb) => channel.write(memory, 0, 0, 512, cb, null, IO_FLAG_FUA)), 0);
    assert.deepEqual(
      withFua.asked.map(({ type, flags }) => [type, flags]),
      [[wire.CMD_WRITE, wire.CMD_FLAG_FUA]],
    );
  });
  const readOnly = await ScriptedServer.start({ flags: wire.TX_HAS_FLAGS | wire.TX_READ_ONLY });
  await withRemote(readOnly, async ({ bdev }) => {
    assert.equal(bdev.writable, false);
    assert.throws(() => BdevDesc.open('R', { write: true, reactor: bdev.manager.reactor, onEvent: () => {} }), {
      code: 'EROFS',
    });
  });
});

test('the server’s errors are the disk’s; a read that is not whole fails', async () => {
  const errors = new Map<number, number>([
    [wire.NBD_EPERM, -1],
    [wire.NBD_EIO, -5],
    [wire.NBD_ENOMEM, -5],
    [wire.NBD_EINVAL, -22],
    [wire.NBD_ENOSPC, -28],
    [77, -5],
  ]);
  const script: Partial<ServerScript> = {
    request: ({ type, cookie, offset, length }, socket, server) => {
      const error = [...errors.keys()][offset / 512];
      if (error !== undefined && type === wire.CMD_WRITE) socket.write(simple(cookie, error));
      else if (error !== undefined) {
        const payload = Buffer.concat([u32(error), u16(3), Buffer.from('why')]);
        const data = Buffer.concat([u64(offset), Buffer.alloc(512, 9)]);
        socket.write(
          Buffer.concat([chunk(cookie, 0, wire.CHUNK_OFFSET_DATA, data), chunk(cookie, 1, wire.CHUNK_ERROR, payload)]),
        );
      } else if (offset === 64 * 512) socket.write(chunk(cookie, 1, wire.CHUNK_NONE, Buffer.alloc(0)));
      else server.answer({ type, flags: 0, cookie, offset, length, data: Buffer.alloc(0) }, socket);
    },
  };
  const server = await ScriptedServer.start(script);
  await withRemote(server, async ({ app, channel, memory }) => {
    await io(app, (cb) => channel.read(memory, 0, 100 * 512, 512, cb, null));
    const before = server.connections;
    for (const [i, status] of [...errors.values()].entries()) {
      assert.equal(await io(app, (cb) => channel.write(memory, 0, i * 512, 512, cb, null)), status);
      assert.equal(await io(app, (cb) => channel.read(memory, 0, i * 512, 512, cb, null)), status);
    }
    assert.equal(await io(app, (cb) => channel.read(memory, 0, 64 * 512, 512, cb, null)), -5);
    assert.equal(server.connections, before, 'an error costs no connection');
  });
});

const wrong: [what: string, request: NonNullable<ServerScript['request']>][] = [
  ['no magic', (_, socket) => void socket.write(Buffer.alloc(16, 7))],
  ['another cookie', ({ cookie }, socket) => void socket.write(simple(Buffer.from([...cookie.subarray(0, 7), 99]), 0))],
  [
    'an epoch of the past',
    ({ cookie }, socket) => void socket.write(simple(Buffer.from([9, 9, 9, 9, ...cookie.subarray(4)]), 0)),
  ],
  [
    'a simple reply to a read',
    ({ cookie }, socket) => void socket.write(Buffer.concat([simple(cookie, 0), Buffer.alloc(4096)])),
  ],
  [
    'data before the range',
    ({ cookie }, socket) =>
      void socket.write(chunk(cookie, 0, wire.CHUNK_OFFSET_DATA, Buffer.concat([u64(0), Buffer.alloc(512)]))),
  ],
  [
    'data behind the range',
    ({ cookie, offset }, socket) =>
      void socket.write(
        chunk(cookie, 0, wire.CHUNK_OFFSET_DATA, Buffer.concat([u64(offset + 4000), Buffer.alloc(512)])),
      ),
  ],
  [
    'more data than asked',
    ({ cookie, offset }, socket) => {
      const data = chunk(cookie, 0, wire.CHUNK_OFFSET_DATA, Buffer.concat([u64(offset), Buffer.alloc(4096)]));
      socket.write(Buffer.concat([data, data]));
    },
  ],
  [
    'a hole of no size',
    ({ cookie, offset }, socket) =>
      void socket.write(chunk(cookie, 0, wire.CHUNK_OFFSET_HOLE, Buffer.concat([u64(offset), u32(0)]))),
  ],
  ['a chunk of no known type', ({ cookie }, socket) => void socket.write(chunk(cookie, 1, 77, Buffer.alloc(8)))],
  [
    'an endless error',
    ({ cookie }, socket) =>
      void socket.write(Buffer.concat([u32(wire.CHUNK_MAGIC), u16(1), u16(wire.CHUNK_ERROR), cookie, u32(2 ** 31)])),
  ],
  [
    'a reply twice',
    (asked, socket, server) => {
      server.answer(asked, socket);
      socket.write(simple(asked.cookie, 0));
    },
  ],
  ['the end', (_, socket) => void socket.end()],
  [
    'the end in the middle of data',
    ({ cookie, offset }, socket) => {
      const all = chunk(cookie, 0, wire.CHUNK_OFFSET_DATA, Buffer.concat([u64(offset), Buffer.alloc(4096)]));
      socket.end(all.subarray(0, 2000));
    },
  ],
  [
    '"I am shutting down"',
    ({ cookie }, socket) =>
      void socket.write(chunk(cookie, 1, wire.CHUNK_ERROR, Buffer.concat([u32(wire.NBD_ESHUTDOWN), u16(0)]))),
  ],
];

for (const [what, request] of wrong) {
  test(`a server that says wrong things costs its connection, and the next one serves: ${what}`, async () => {
    const server = await ScriptedServer.start();
    await withRemote(server, async ({ app, channel, memory }) => {
      server.disk.fill(5, 8192, 8192 + 4096);
      let times = 0;
      server.script.request = (asked, socket, own) => {
        if (times++ === 0) request(asked, socket, own);
        else own.answer(asked, socket);
      };
      assert.equal(await io(app, (cb) => channel.read(memory, 0, 8192, 4096, cb, null)), 0);
      // What came after the reply that counts is noticed with the next one, at the latest.
      assert.equal(await io(app, (cb) => channel.read(memory, 0, 8192, 4096, cb, null)), 0);
      assert.ok(memory.u8.subarray(0, 4096).every((byte) => byte === 5));
    });
  });
}

test('under a load of many the server breaks off again and again: nothing is lost, nothing comes twice', async (t) => {
  const seed = Number(process.env.TSPDK_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`TSPDK_SEED=${seed}`);
  const random = new Random(seed);
  const server = await ScriptedServer.start();
  let breaks = 0;
  const sockets = new WeakSet<Socket>();
  server.script.request = (asked, socket, own) => {
    if (sockets.has(socket)) return;
    const dice = random.int(60);
    if (dice > 1) {
      own.answer(asked, socket);
      return;
    }
    // Done or not, and told or not.
    breaks++;
    sockets.add(socket);
    if (dice === 0) own.answer(asked, socket);
    socket.destroy();
  };
  await withRemote(server, async ({ app, channel, memory }) => {
    const lanes = 24;
    const bytes = 4096;
    const model = new Uint8Array(lanes * bytes);
    const lane = async (i: number): Promise<void> => {
      for (let round = 0; round < 40; round++) {
        const at = i * bytes;
        const value = 1 + random.int(255);
        if (random.chance(0.5)) {
          memory.u8.fill(value, at, at + bytes);
          assert.equal(await io(app, (cb) => channel.write(memory, at, at, bytes, cb, null)), 0);
          model.fill(value, at, at + bytes);
        } else {
          memory.u8.fill(0xee, at, at + bytes);
          assert.equal(await io(app, (cb) => channel.read(memory, at, at, bytes, cb, null)), 0);
          assert.deepEqual(memory.u8.slice(at, at + bytes), model.slice(at, at + bytes), `lane ${i}, round ${round}`);
        }
      }
    };
    await Promise.all(Array.from({ length: lanes }, (_, i) => lane(i)));
    assert.ok(breaks > 3, `only ${breaks} breaks`);
    assert.deepEqual(new Uint8Array(server.disk.subarray(0, model.length)), model);
  });
});

test('a server that comes back with another disk is not the one that was lost, and that is said', async (t) => {
  const server = await ScriptedServer.start();
  await withRemote(server, async ({ app, channel, memory }) => {
    assert.equal(await io(app, (cb) => channel.write(memory, 0, 0, 512, cb, null)), 0);
    server.script.sizeBytes /= 2;
    const said: string[] = [];
    log.open(({ text }) => void said.push(text));
    t.after(() => log.close());
    server.cut();
    const before = server.connections;
    const waiting = io(app, (cb) => channel.read(memory, 0, 0, 512, cb, null));
    while (server.connections < before + 3) await new Promise((resolve) => setImmediate(resolve));
    server.script.sizeBytes *= 2;
    assert.equal(await waiting, 0);
    log.close();
    // Once, though it has been tried again and again.
    assert.equal(
      said.filter((text) => /another than before: sizeBytes was 1048576 and is 524288/.test(text)).length,
      1,
    );
    // Nor is one that takes less at once.
    const payload = 65536;
    server.script.option = (type, socket) => {
      const sizes = Buffer.concat([u16(wire.INFO_BLOCK_SIZE), u32(1), u32(4096), u32(payload)]);
      if (type === wire.OPT_GO) socket.write(optionReply(type, wire.REP_INFO, sizes));
      return false;
    };
    server.cut();
    const last = server.connections;
    const next = io(app, (cb) => channel.read(memory, 0, 0, 512, cb, null));
    while (server.connections < last + 3) await new Promise((resolve) => setImmediate(resolve));
    server.script.option = undefined;
    assert.equal(await next, 0);
  });
});

test('a server that comes back with a larger export has the disk grow; losses and returns are notified, once each', async () => {
  // It has room for the disk that it says it has.
  const server = await ScriptedServer.start({ sizeBytes: 2 << 20 });
  server.script.sizeBytes = 1 << 20;
  await withRemote(server, async ({ app, bdev, channel, memory }) => {
    assert.equal(await io(app, (cb) => channel.write(memory, 0, 0, 512, cb, null)), 0);
    const news = () =>
      notifyOf(app.reactor)
        .events()
        .filter(({ type }) => type !== 'bdev_register')
        .map(({ type, context }) => `${type} ${context}`);
    assert.deepEqual(news(), []);
    const before = server.script.sizeBytes;
    server.script.sizeBytes = 2 * before;
    server.cut();
    assert.equal(await io(app, (cb) => channel.read(memory, 0, 0, 512, cb, null)), 0);
    while (news().length < 3) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(bdev.sizeBytes, 2 * before);
    assert.equal(await io(app, (cb) => channel.write(memory, 0, before, 512, cb, null)), 0);
    assert.deepEqual(news().sort(), ['bdev_nbd_back R', 'bdev_nbd_lost R', 'bdev_resize R']);
    // From now on it must have that.
    server.script.sizeBytes = before;
    server.cut();
    const connections = server.connections;
    const waiting = io(app, (cb) => channel.read(memory, 0, 0, 512, cb, null));
    while (server.connections < connections + 3) await new Promise((resolve) => setImmediate(resolve));
    server.script.sizeBytes = 2 * before;
    assert.equal(await waiting, 0);
    while (news().length < 5) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(news().slice(3), ['bdev_nbd_lost R', 'bdev_nbd_back R']);
  });
});

test('what is no server, or has no such export, is told when the disk is made', async () => {
  const go =
    (reply: number, text = '') =>
    (type: number, socket: Socket) => {
      if (type === wire.OPT_GO) socket.write(optionReply(type, reply, Buffer.from(text)));
      return type === wire.OPT_GO;
    };
  const cases: [Partial<ServerScript>, string, RegExp][] = [
    [{ hello: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') }, 'EPROTO', /does not greet as an NBD server/],
    [
      { hello: Buffer.concat([u32(wire.INIT_MAGIC_HI), u32(wire.INIT_MAGIC_LO), Buffer.alloc(10)]) },
      'ENOTSUP',
      /old form of NBD/,
    ],
    [{ option: go(wire.REP_ERR_UNKNOWN, 'nope') }, 'ENOENT', /has no export "x": "nope"/],
    [{ option: go(wire.REP_ERR_TLS_REQD) }, 'ENOTSUP', /wants TLS/],
    [{ option: go(wire.REP_ERR_POLICY) }, 'EPERM', /does not allow it/],
    [{ option: go(wire.REP_ACK) }, 'EPROTO', /without saying its size/],
    [{ option: (type, socket) => socket.write(optionReply(99, type)) }, 'EPROTO', /a reply to option 99, asked was 8/],
    [{ option: (_, socket) => socket.write(Buffer.alloc(20)) }, 'EPROTO', /without its magic number/],
    [
      {
        option: (type, socket) => {
          const head = [u32(wire.REP_MAGIC_HI), u32(wire.REP_MAGIC_LO), u32(type), u32(wire.REP_INFO), u32(2 ** 31)];
          return socket.write(Buffer.concat(head));
        },
      },
      'EPROTO',
      /a reply of 2147483648 bytes/,
    ],
    [{ option: (_, socket) => socket.end() !== null }, 'EIO', /has ended the connection/],
    [{ sizeBytes: 100 }, 'EINVAL', /has 100 bytes, not one block/],
  ];
  const rc = await withTarget(async ({ app }) => {
    for (const [script, code, message] of cases) {
      const server = await ScriptedServer.start(script);
      await assert.rejects(create(app, server.uri), { code, message });
      await server.close();
      await assert.rejects(create(app, server.uri), { code: 'ECONNREFUSED', message: /127\.0\.0\.1:\d+/ });
    }
    await assert.rejects(create(app, 'nbd+unix:///x'), { code: 'EINVAL' });
    await assert.rejects(
      create(app, 'nbd://127.0.0.1:1/x', { io_timeout_sec: -1 }),
      /io_timeout_sec -1, limit 0 to 86400/,
    );
  });
  assert.equal(rc, 0);
});

test('a preferred block size that is none is left out of account', async () => {
  for (const preferred of [0, 3, 12288, 2 ** 31, 2 ** 32 - 1]) {
    const server = await ScriptedServer.start();
    server.script.option = (type, socket) => {
      const sizes = Buffer.concat([u16(wire.INFO_BLOCK_SIZE), u32(512), u32(preferred), u32(2 ** 32 - 1)]);
      if (type === wire.OPT_GO) socket.write(optionReply(type, wire.REP_INFO, sizes));
      return false;
    };
    await withRemote(server, async ({ app, bdev, channel, memory }) => {
      assert.equal(bdev.limits.physicalBlockSizeBytes, 4096);
      assert.equal(await io(app, (cb) => channel.read(memory, 0, 0, 65536, cb, null)), 0);
    });
  }
});

test('a server without GO, or with block sizes', async () => {
  const byName = await ScriptedServer.start();
  byName.script.option = (type, socket) => {
    if (type === wire.OPT_GO) socket.write(optionReply(type, wire.REP_ERR_UNSUP));
    return type === wire.OPT_GO;
  };
  const sized = await ScriptedServer.start();
  sized.script.option = (type, socket) => {
    if (type !== wire.OPT_GO) return false;
    const sizes = Buffer.concat([u16(wire.INFO_BLOCK_SIZE), u32(4096), u32(65536), u32(131072)]);
    socket.write(optionReply(type, wire.REP_INFO, sizes));
    return false;
  };
  const rc = await withTarget(async ({ app }) => {
    const bdev = await create(app, byName.uri);
    assert.equal(bdev.sizeBytes, 1 << 20);
    await bdevRegistry(app.reactor).waitForExamine();
    assert.equal(byName.asked[0].type, wire.CMD_READ);
    await bdevRegistry(app.reactor).delete('R');
    const blocks = await create(app, sized.uri);
    const { blockSizeBytes, limits } = blocks;
    assert.deepEqual([blockSizeBytes, limits.maxRwBlocks, limits.physicalBlockSizeBytes], [4096, 32, 65536]);
    await bdevRegistry(app.reactor).delete('R');
    await byName.close();
    await sized.close();
  });
  assert.equal(rc, 0);
});
