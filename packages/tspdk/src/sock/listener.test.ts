// Listeners: addresses, socket files, lack of descriptors, and connections that another thread adopts; on both backends.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createConnection } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ffi } from '../env/ffi.ts';
import { limits } from '../env/limits.ts';
import { listen } from './index.ts';
import { Bench, closed, connect, folder, noRing, onEachBackend, pair, scratch, TCP } from './sock-fixture.sim.ts';

onEachBackend((check) => {
  check('peers and addresses are named as people write them', async (t, bench) => {
    const { listener, client, sock } = await pair(bench, TCP);
    assert.equal(listener.address, `127.0.0.1:${listener.port}`);
    assert.equal(sock.peer, `127.0.0.1:${(client.address() as AddressInfo).port}`);
    client.destroy();
    await listener.close();
    const six = await pair(bench, { host: '::1', port: 0 });
    assert.equal(six.listener.address, `[::1]:${six.listener.port}`);
    assert.equal(six.sock.peer, `[::1]:${(six.client.address() as AddressInfo).port}`);
    six.client.destroy();
    await six.listener.close();
    const any = await pair(bench, { host: '::', port: 0 });
    const four = createConnection({ host: '127.0.0.1', port: any.listener.port });
    await new Promise((resolve) => four.once('connect', resolve));
    four.destroy();
    any.client.destroy();
    await any.listener.close();
    const path = join(folder(t), 'named');
    const unix = await pair(bench, { path, mode: 0o640 });
    assert.equal(unix.listener.address, path);
    assert.equal(unix.listener.port, 0);
    assert.equal(unix.sock.peer, 'unix');
    assert.equal(statSync(path).mode & 0o777, 0o640);
    unix.client.destroy();
    await unix.listener.close();
    assert.equal(existsSync(path), false);
  });

  check('an address that cannot be had is an error that names it', async (t, bench) => {
    const nobody = { onAccept() {} };
    const first = await listen(bench.group, TCP, nobody);
    await assert.rejects(listen(bench.group, { host: '127.0.0.1', port: first.port }, nobody), {
      code: 'EADDRINUSE',
      message: `cannot listen on 127.0.0.1:${first.port}: the address is in use`,
    });
    await first.close();
    const again = await listen(bench.group, { host: '127.0.0.1', port: first.port }, nobody);
    await again.close();
    await assert.rejects(listen(bench.group, { host: '192.0.2.1', port: 0 }, nobody), { code: 'EADDRNOTAVAIL' });
    const dir = folder(t);
    const path = join(dir, 's');
    const owner = await listen(bench.group, { path }, nobody);
    await assert.rejects(listen(bench.group, { path }, nobody), { code: 'EADDRINUSE', message: /another process/ });
    await owner.close();
    writeFileSync(path, 'precious');
    await assert.rejects(listen(bench.group, { path }, nobody), { code: 'EADDRINUSE', message: /no socket/ });
    assert.ok(existsSync(path));
    await assert.rejects(listen(bench.group, { path: join(dir, 'x'.repeat(120)) }, nobody), { code: 'ENAMETOOLONG' });
    await assert.rejects(listen(bench.group, { path: join(dir, 'none', 's') }, nobody), { code: /ENOENT|EACCES/ });
  });

  check('a socket file that nobody answers is taken over', async (t, bench) => {
    const path = join(folder(t), 'stale');
    const left = new Worker(
      `const { createServer } = require('node:net'); const { linkSync } = require('node:fs');
       const server = createServer().listen(${JSON.stringify(path)}, () => {
         linkSync(${JSON.stringify(path)}, ${JSON.stringify(`${path}.kept`)}); server.close(); });`,
      { eval: true },
    );
    await new Promise((resolve) => left.once('exit', resolve));
    assert.equal(existsSync(path), false);
    assert.equal(existsSync(`${path}.kept`), true);
    const listener = await listen(bench.group, { path: `${path}.kept` }, { onAccept: (fd) => bench.group.refuse(fd) });
    // Refused: the peer sees the end.
    const client = await connect(listener, false);
    client.resume();
    await closed(client);
    await listener.close();
    assert.equal(existsSync(`${path}.kept`), false);
  });

  check('a closed listener accepts nobody; its connections live on', async (_t, bench) => {
    const { listener, client, recorder, sock } = await pair(bench, TCP);
    const segment = scratch();
    await listener.close();
    await listener.close();
    await assert.rejects(connect(listener), { code: 'ECONNREFUSED' });
    client.write('still');
    sock.recv(segment, 0, 100);
    assert.deepEqual(await recorder.next(), ['recv', 5]);
    client.destroy();
  });

  check('a refused connection is gone for the peer, and the listener goes on', async (_t, bench) => {
    let accepted = 0;
    const listener = await listen(bench.group, TCP, {
      onAccept: (fd) => {
        accepted++;
        bench.group.refuse(fd);
      },
    });
    for (let round = 1; round <= 3; round++) {
      const client = await connect(listener, false);
      client.resume();
      await closed(client);
      assert.equal(accepted, round);
    }
    await listener.close();
  });
});

test('uring: without descriptors the listener waits, then goes on', { skip: noRing !== '' && noRing }, async () => {
  const source = `
    import { openSync, closeSync } from 'node:fs';
    import { createConnection } from 'node:net';
    import { Ring } from ${JSON.stringify(new URL('../env/uring.js', import.meta.url).href)};
    import { listen, openSockGroup } from ${JSON.stringify(new URL('./index.js', import.meta.url).href)};
    const ring = Ring.open();
    const group = openSockGroup({ ring });
    let polls = 0, accepted = 0, turns = true, paused = false;
    const turn = () => { if (!paused) polls += ring.poll(); if (turns) setTimeout(turn, 1); };
    turn();
    const listener = await listen(group, { host: '127.0.0.1', port: 0 }, { onAccept(fd) { accepted++; group.refuse(fd); } });
    // The client is connected, and the descriptors are gone, before the ring may accept.
    paused = true;
    const client = createConnection(listener.port, '127.0.0.1');
    await new Promise((resolve, reject) => client.once('connect', resolve).once('error', reject));
    const held = [];
    for (;;) { try { held.push(openSync('/dev/null')); } catch { break; } }
    paused = false;
    const before = polls;
    await new Promise((resolve) => setTimeout(resolve, ${limits.accept_backoff_ms * 3}));
    const spent = polls - before;
    const none = accepted;
    for (const fd of held) closeSync(fd);
    while (accepted === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    client.destroy();
    await listener.close();
    await group.close();
    turns = false;
    ring.close();
    console.log(JSON.stringify({ none, accepted, spent }));`;
  const command = `ulimit -n 64; exec ${process.execPath} --input-type=module`;
  const child = spawnSync('sh', ['-c', command], { input: source, encoding: 'utf8' });
  assert.equal(child.status, 0, child.stderr);
  const { none, accepted, spent } = JSON.parse(child.stdout) as { none: number; accepted: number; spent: number };
  assert.equal(none, 0);
  assert.equal(accepted, 1);
  assert.ok(spent < 20, `${spent} completions while waiting`);
  assert.equal(child.stderr.split('\n').filter((line) => line.includes('cannot accept')).length, 1, child.stderr);
});

for (const backend of ['uring', 'node']) {
  const skip = backend === 'uring' ? noRing !== '' && noRing : ffi === null;
  test(`${backend}: a connection accepted here is adopted by another thread`, { skip }, async () => {
    const source = `
      import { parentPort } from 'node:worker_threads';
      import { openSockGroup } from ${JSON.stringify(new URL('./index.js', import.meta.url).href)};
      import { Ring } from ${JSON.stringify(new URL('../env/uring.js', import.meta.url).href)};
      import { IoVecs } from ${JSON.stringify(new URL('../env/iovecs.js', import.meta.url).href)};
      import { makeSegment } from ${JSON.stringify(new URL('../env/segment.js', import.meta.url).href)};
      const ring = ${backend === 'uring' ? 'Ring.open()' : 'null'};
      const group = openSockGroup({ ring });
      const segment = makeSegment(1, new SharedArrayBuffer(4096));
      const iovs = new IoVecs(1);
      let turns = true;
      const turn = () => { ring?.poll(); group.poll(); if (turns) setImmediate(turn); else ring?.close(); };
      parentPort.once('message', (fd) => {
        const sock = group.adopt(fd, {
          onRecv(bytes) { if (bytes <= 0) sock.close(); else { iovs.reset(); iovs.push(segment, 0, bytes); sock.send(iovs); } },
          onSent() { sock.recv(segment, 0, 4096); },
          onClose() { turns = false; },
        });
        sock.recv(segment, 0, 4096);
        turn();
      });`;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
    const exited = new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
    const bench = new Bench(backend);
    const listener = await listen(bench.group, TCP, { onAccept: (fd) => worker.postMessage(fd) });
    assert.equal(listener.handsOver, true);
    const client = await connect(listener);
    client.end('over there');
    let text = '';
    for await (const chunk of client) text += String(chunk);
    assert.equal(text, 'over there');
    assert.equal(await exited, 0);
    await listener.close();
    await bench.stop();
  });
}

test('node: without FFI connections stay here, and the listener says so', {
  skip: ffi !== null && 'there is FFI here',
}, async () => {
  const bench = new Bench('node');
  const listener = await listen(bench.group, TCP, { onAccept: (fd) => bench.group.refuse(fd) });
  assert.equal(listener.handsOver, false);
  assert.match(listener.reason, /stay on the app core: no FFI/);
  await listener.close();
  await bench.stop();
});
