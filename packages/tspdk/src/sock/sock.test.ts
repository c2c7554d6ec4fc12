// Connections: what a sock promises, on both backends.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { ffi } from '../env/ffi.ts';
import { IoVecs } from '../env/iovecs.ts';
import { listen } from './index.ts';
import {
  closed,
  connect,
  Echo,
  folder,
  onEachBackend,
  pair,
  Recorder,
  scratch,
  TCP,
  vector,
} from './sock-fixture.sim.ts';

onEachBackend((check) => {
  check('what is sent comes back, in chunks of any size, over tcp and unix', async (t, bench) => {
    const echoes: Echo[] = [];
    let bytes = 1;
    const handler = {
      onAccept(fd: number, peer: string) {
        const echo = new Echo(bytes);
        echoes.push(echo);
        echo.start(bench.group.adopt(fd, echo, peer));
      },
    };
    const listeners = [
      await listen(bench.group, TCP, handler),
      await listen(bench.group, { path: join(folder(t), 'echo') }, handler),
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 8 }),
        fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 300, max: 300_000 })),
        fc.nat(1),
        async (sizes, atOnce, which) => {
          // Few bytes at a time only for few bytes: the rest would be a test of patience.
          bytes = Math.max(atOnce, Math.ceil(sizes.reduce((a, b) => a + b, 0) / 2000));
          const client = await connect(listeners[which]);
          const sent: Buffer[] = sizes.map((size, index) => Buffer.alloc(size, index * 37 + size));
          for (const chunk of sent) {
            for (let at = 0; at < chunk.length; at += 97) chunk[at] = at & 255;
            client.write(chunk);
          }
          client.end();
          const received: Buffer[] = [];
          for await (const chunk of client) received.push(chunk as Buffer);
          assert.equal(Buffer.compare(Buffer.concat(received), Buffer.concat(sent)), 0);
        },
      ),
      { numRuns: 25 },
    );
    while (bench.group.count > 0) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(echoes.every((echo) => echo.closed));
    for (const listener of listeners) await listener.close();
  });

  check('end of stream is 0, every time; sending still works after it', async (_t, bench) => {
    const { listener, client, recorder, sock } = await pair(bench, TCP);
    const segment = scratch();
    client.end('abc');
    sock.recv(segment, 100, 1000);
    assert.deepEqual(await recorder.next(), ['recv', 3]);
    assert.equal(Buffer.from(segment.u8.slice(100, 103)).toString(), 'abc');
    for (let again = 0; again < 2; again++) {
      sock.recv(segment, 0, 1000);
      assert.deepEqual(await recorder.next(), ['recv', 0]);
    }
    sock.send(vector(segment, 5000));
    assert.deepEqual(await recorder.next(), ['sent', 5000]);
    sock.close();
    assert.deepEqual(await recorder.next(), ['close', 0]);
    let bytes = 0;
    for await (const chunk of client) bytes += (chunk as Buffer).length;
    assert.equal(bytes, 5000);
    assert.equal(sock.fd, -1);
    await listener.close();
  });

  check(
    'a receive of at least so many bytes: they come together, unless it is told to hurry or the stream ends',
    async (_t, bench) => {
      const { listener, client, recorder, sock } = await pair(bench, TCP);
      const segment = scratch();
      /** Writes, and lets the group look more than often enough to find it. */
      const write = async (text: string) => {
        await new Promise((resolve) => client.write(text, resolve));
        for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
      };
      sock.recv(segment, 0, 1000);
      await write('first');
      assert.deepEqual(await recorder.next(), ['recv', 5]);
      assert.ok(sock.drained);
      sock.recv(segment, 0, 1000, 20);
      await write('0123456789');
      if (!sock.gathers) {
        // A backend that does not gather gives what is there.
        assert.deepEqual(await recorder.next(), ['recv', 10]);
        sock.close();
        assert.deepEqual(await recorder.next(), ['close', 0]);
        client.destroy();
        await listener.close();
        return;
      }
      assert.equal(recorder.events.length, 1);
      await write('0123456789abc');
      assert.deepEqual(await recorder.next(), ['recv', 23]);
      sock.recv(segment, 0, 1000, 500);
      await write('hurry');
      assert.equal(recorder.events.length, 2);
      sock.hurry();
      assert.deepEqual(await recorder.next(), ['recv', 5]);
      // The next one is as if nothing had been asked, and one that leaves something says so.
      sock.recv(segment, 0, 1);
      await write('12');
      assert.deepEqual(await recorder.next(), ['recv', 1]);
      assert.equal(sock.drained, false);
      // Then there is no waiting, not even for more than is there.
      sock.recv(segment, 0, 1000, 500);
      assert.deepEqual(await recorder.next(), ['recv', 1]);
      // Two places, filled one after the other.
      sock.recvTwo(segment, 0, 4, segment, 100, 8, 10);
      await write('abcdefghij');
      assert.deepEqual(await recorder.next(), ['recv', 10]);
      assert.equal(Buffer.from(segment.u8.slice(0, 4)).toString(), 'abcd');
      assert.equal(Buffer.from(segment.u8.slice(100, 106)).toString(), 'efghij');
      sock.recv(segment, 0, 1000, 500);
      await write('end');
      client.end();
      assert.deepEqual(await recorder.next(), ['recv', 3]);
      sock.recv(segment, 0, 1000, 500);
      sock.close();
      assert.deepEqual(await recorder.next(), ['close', 0]);
      await listener.close();
    },
  );

  check('a peer that dies in the middle of a message: an error or the end, then sends fail', async (_t, bench) => {
    const { listener, client, recorder, sock } = await pair(bench, TCP);
    const segment = scratch(4 << 20);
    client.write('half');
    sock.recv(segment, 0, 1000);
    assert.deepEqual(await recorder.next(), ['recv', 4]);
    sock.recv(segment, 0, 1000);
    client.resetAndDestroy();
    const [kind, result] = await recorder.next();
    assert.equal(kind, 'recv');
    assert.ok(result === -104 || result === 0, `ECONNRESET or the end, not ${result}`);
    sock.send(vector(segment, 4 << 20));
    const [, sent] = await recorder.next();
    assert.ok(sent === -32 || sent === -104, `EPIPE or ECONNRESET, not ${sent}`);
    sock.close();
    assert.deepEqual(await recorder.next(), ['close', 0]);
    await listener.close();
  });

  check('a peer that never reads: the send stays outstanding, and close ends it', async (t, bench) => {
    for (const address of [TCP, { path: join(folder(t), 'deaf') }]) {
      const { listener, client, recorder, sock } = await pair(bench, address);
      client.pause();
      const segment = scratch(32 << 20);
      sock.send(vector(segment, 32 << 20));
      sock.recv(segment, 0, 1000);
      client.write('x');
      assert.deepEqual(await recorder.next(), ['recv', 1]);
      sock.recv(segment, 0, 1000);
      sock.close();
      sock.close();
      sock.recv(segment, 0, 1);
      sock.send(vector(segment, 1));
      assert.deepEqual(await recorder.next(), ['close', 0]);
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(recorder.events, [
        ['recv', 1],
        ['close', 0],
      ]);
      client.destroy();
      await listener.close();
    }
  });

  check('a send larger than the socket buffers arrives whole and in order', async (_t, bench) => {
    const { listener, client, recorder, sock } = await pair(bench, TCP);
    const segment = scratch(24 << 20);
    const words = new Uint32Array(segment.sab);
    for (let at = 0; at < words.length; at++) words[at] = at * 2654435761;
    const iovs = new IoVecs(400);
    const expected: Uint8Array[] = [];
    // Pieces from all over, in another order than they lie.
    for (let piece = 399; piece >= 0; piece--) {
      iovs.push(segment, piece * 60_001, 50_000 + piece);
      expected.push(segment.u8.slice(piece * 60_001, piece * 60_001 + 50_000 + piece));
    }
    sock.send(iovs);
    const received: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of client) {
      received.push(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      if (bytes === iovs.totalBytes) break;
    }
    assert.deepEqual(await recorder.next(), ['sent', iovs.totalBytes]);
    assert.equal(Buffer.compare(Buffer.concat(received), Buffer.concat(expected)), 0);
    await listener.close();
  });

  check('a unix peer that does not read yet: more than the default buffer is taken at once', async (_t, bench) => {
    if (bench.ring === null) return;
    const at = ffi!.calloc(8);
    assert.equal(ffi!.socketpair(1, 1, 0, at), 0);
    const [ours, theirs] = new Int32Array(ffi!.viewOf(at, 8));
    ffi!.free(at);
    const recorder = new Recorder();
    const sock = bench.group.adopt(ours, recorder);
    assert.equal(sock.peer, 'unix');
    // The default is 208 KiB; twice the usual cap is more than this.
    sock.send(vector(scratch(350_000), 350_000));
    assert.deepEqual(await recorder.next(), ['sent', 350_000]);
    ffi!.close(theirs);
  });

  check('misuse is refused', async (_t, bench) => {
    const { listener, client, sock } = await pair(bench, TCP);
    const segment = scratch();
    assert.throws(() => sock.recv(segment, 65530, 10), { code: 'ERANGE' });
    assert.throws(() => sock.recv(segment, 0, 0), { code: 'ERANGE' });
    assert.throws(() => sock.send(new IoVecs(1)), /at least one byte/);
    sock.recv(segment, 0, 10);
    assert.throws(() => sock.recv(segment, 0, 10), /one receive/);
    sock.send(vector(segment, 10));
    assert.throws(() => sock.send(vector(segment, 10)), /one send/);
    client.destroy();
    await listener.close();
  });

  check(
    '1,000 connections, and every descriptor comes back',
    async (t, bench) => {
      const descriptors = () => readdirSync('/proc/self/fd').length;
      const before = descriptors();
      const echoes: Echo[] = [];
      const listener = await listen(
        bench.group,
        { path: join(folder(t), 'many') },
        {
          onAccept(fd, peer) {
            const echo = new Echo(64);
            echoes.push(echo);
            echo.start(bench.group.adopt(fd, echo, peer));
          },
        },
      );
      const clients = await Promise.all(Array.from({ length: 1000 }, () => connect(listener)));
      await Promise.all(
        clients.map(
          (client, index) =>
            new Promise<void>((resolve) => {
              client.once('data', (data: Buffer) => {
                assert.equal(data.toString(), `hello ${index}`);
                resolve();
              });
              client.write(`hello ${index}`);
            }),
        ),
      );
      assert.equal(bench.group.count, 1000);
      const gone = clients.map(closed);
      // Half leave by themselves, half are closed with the group.
      for (const client of clients.slice(0, 500)) client.destroy();
      while (bench.group.count > 500) await new Promise((resolve) => setImmediate(resolve));
      for (const client of clients.slice(500)) client.on('end', () => client.end()).resume();
      await bench.group.close();
      await Promise.all(gone);
      assert.ok(echoes.every((echo) => echo.closed));
      await listener.close();
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(descriptors(), before);
    },
    process.platform !== 'linux',
  );
});
