// Remote exports whose server is gone, or silent: how long I/O waits, and that nothing waits for ever, a removal least of all.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BdevIo } from '../../bdev/bdev-io.ts';
import { BdevDesc, bdevRegistry } from '../../bdev/index.ts';
import type { App } from '../../event/index.ts';
import type { SockGroup } from '../../sock/index.ts';
import { withTarget } from '../target-fixture.sim.ts';
import { type ChannelHost, InitiatorChannel } from './channel.ts';
import { FAREWELL_MS, Link, type LinkOptions, WATCH_MS } from './link.ts';
import { create, io, withRemote } from './remote.sim.ts';
import { ScriptedServer } from './server.sim.ts';

/** What a channel and its link take, of a server that is not there. */
function unconnected(socks: SockGroup): { host: ChannelHost; options: LinkOptions } {
  const nothing = (): void => {};
  return {
    host: { socks, flags: 0, structured: true, touch: nothing, lost: nothing, proven: nothing, closed: nothing },
    options: {
      address: { path: '/nonexistent' },
      exportName: '',
      remote: {
        sizeBytes: 512,
        flags: 0,
        minBlockBytes: 1,
        preferredBlockBytes: 4096,
        maxPayloadBytes: 4096,
        structured: true,
      },
      reconnectDelayMs: 3_600_000,
      ioTimeoutMs: 86_400_000,
    },
  };
}

/** The disk R, open until it is removed, whose server answers nothing from now on. */
async function openSilent(app: App, server: ScriptedServer) {
  // Somebody looks for partitions.
  await bdevRegistry(app.reactor).waitForExamine();
  server.asked.length = 0;
  server.script.request = () => {};
  const memory = await app.shareSegment(65536);
  const desc = BdevDesc.open('R', { write: true, reactor: app.reactor, onEvent: () => desc.close() });
  return { memory, channel: desc.getIoChannel(), own: app.reactor.segments.get(memory.id) };
}

test('a server that is gone for too long fails what waits; what waits can be aborted; when it is back the disk works again', async () => {
  const server = await ScriptedServer.start();
  await withRemote(
    server,
    async ({ app, channel, memory }) => {
      // The time-out is 0: what comes before there is a connection fails.
      const write = () => io(app, (cb) => channel.write(memory, 0, 0, 512, cb, null));
      let status = await write();
      while (status === -19) status = await write();
      assert.equal(status, 0);
      await server.close();
      while (status === 0) status = await io(app, (cb) => channel.write(memory, 0, 0, 512, cb, null));
      assert.equal(status, -19);
      await server.open();
      while (status !== 0) {
        assert.equal(status, -19);
        await new Promise((resolve) => setImmediate(resolve));
        status = await io(app, (cb) => channel.write(memory, 0, 0, 512, cb, null));
      }
    },
    { io_timeout_sec: 0 },
  );
  const other = await ScriptedServer.start();
  await withRemote(other, async ({ app, channel, memory }) => {
    assert.equal(await io(app, (cb) => channel.write(memory, 0, 0, 512, cb, 'x')), 0);
    await other.close();
    const waiting = io(app, (cb) => channel.read(memory, 0, 0, 512, cb, 'waits'));
    while (channel.abort('waits') === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await waiting, -125);
    await other.open();
    assert.equal(await io(app, (cb) => channel.read(memory, 0, 0, 512, cb, 'y')), 0);
  });
});

test('a server that breaks off with every request fails it in time, and is not asked without rest', async () => {
  const server = await ScriptedServer.start();
  await withRemote(
    server,
    async ({ app, channel, memory }) => {
      server.script.request = (_, socket) => void socket.destroy();
      assert.equal(await io(app, (cb) => channel.read(memory, 0, 0, 512, cb, null)), -19);
      assert.ok(server.connections < 20, `${server.connections} connections`);
      server.script.request = (asked, socket, own) => own.answer(asked, socket);
      let status = -19;
      while (status === -19) status = await io(app, (cb) => channel.read(memory, 0, 0, 512, cb, null));
      assert.equal(status, 0);
      // Nor is one that is silent.
      server.script.request = () => {};
      server.cut();
      assert.equal(await io(app, (cb) => channel.read(memory, 0, 0, 512, cb, null)), -19);
    },
    { io_timeout_sec: 1, reconnect_delay_ms: 300 },
  );
});

test('without a time-out a server that breaks off with the first request is not waited for', async () => {
  const server = await ScriptedServer.start();
  await withRemote(
    server,
    async ({ app, channel, memory }) => {
      server.script.request = (_, socket) => void socket.destroy();
      let status = -19;
      // What comes before there is a connection fails at once.
      while (server.asked.length === 0) status = await io(app, (cb) => channel.read(memory, 0, 0, 512, cb, null));
      assert.equal(status, -19);
    },
    { io_timeout_sec: 0, reconnect_delay_ms: 3_600_000 },
  );
});

test('a request is not failed for the time that went by before it came', async () => {
  const closed: string[] = [];
  const sock = { send: () => {}, recv: () => {}, close: () => void closed.push('closed') };
  const { host, options } = unconnected({ adopt: () => sock } as unknown as SockGroup);
  const channel = new InitiatorChannel(host);
  const disk = { isGoing: () => false, sizeBytes: () => 512, grown: () => {}, news: () => {} };
  const link = new Link('R', { ...options, ioTimeoutMs: 1 }, host.socks, channel, disk);
  // There is a connection, on which nobody has asked anything until shortly before the link's time is over.
  channel.attach(0);
  const io = { type: 0, byteOffset: 0, bytes: 0, complete: () => void closed.push('failed') };
  channel.submit(io as unknown as BdevIo);
  // Set after the link's, of the same length.
  await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(closed, []);
  link.close();
});

test('a server that keeps the connection and says nothing fails what waits in time; the next connection serves', async () => {
  const server = await ScriptedServer.start();
  await withRemote(
    server,
    async ({ app, channel, memory }) => {
      // It has answered before, so it is known to be good.
      assert.equal(await io(app, (cb) => channel.read(memory, 0, 0, 512, cb, null)), 0);
      const { connections } = server;
      server.script.request = (asked, socket, own) => {
        if (asked.offset !== 512) own.answer(asked, socket);
      };
      const stuck = io(app, (cb) => channel.read(memory, 0, 512, 512, cb, null));
      let waits = true;
      const status = stuck.then((value) => {
        waits = false;
        return value;
      });
      // That others are answered does not help the one that is not.
      while (waits) await io(app, (cb) => channel.read(memory, 0, 1024, 512, cb, null));
      assert.equal(await status, -19);
      server.script.request = undefined;
      let again = -19;
      while (again === -19) again = await io(app, (cb) => channel.read(memory, 0, 512, 512, cb, null));
      assert.equal(again, 0);
      assert.equal(server.connections, connections + 1);
    },
    { io_timeout_sec: 1 },
  );
});

for (const gone of [false, true]) {
  test(`a disk is removed while its server ${gone ? 'is gone for long' : 'keeps the connection and says nothing'}`, async () => {
    const server = await ScriptedServer.start();
    const rc = await withTarget(async ({ app }) => {
      // Without the removal, everything would wait for an hour or more.
      await create(app, server.uri, { io_timeout_sec: 86_400, reconnect_delay_ms: 3_600_000 });
      const { memory, channel, own } = await openSilent(app, server);
      const statuses: number[] = [];
      for (let i = 0; i < 5; i++) channel.write(own, 0, 0, 512, (_, status) => void statuses.push(status), null);
      app.reactor.kick();
      while (server.asked.length < 5) await new Promise((resolve) => setImmediate(resolve));
      if (gone) await server.close();
      await bdevRegistry(app.reactor).delete('R');
      assert.deepEqual(statuses, [-19, -19, -19, -19, -19]);
      if (!gone) await server.close();
      await app.dropSegment(memory);
    });
    assert.equal(rc, 0);
  });
}

test('who waits for the I/O of a server that is gone does not hold the end of the application', async () => {
  const server = await ScriptedServer.start();
  let end = async (): Promise<void> => {};
  const rc = await withTarget(
    async ({ app }) => {
      await create(app, server.uri, { io_timeout_sec: 86_400, reconnect_delay_ms: 3_600_000 });
      const { memory, channel, own } = await openSilent(app, server);
      const ended = io(app, (cb) => channel.write(own, 0, 0, 512, cb, null));
      while (server.asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
      await server.close();
      end = async () => {
        assert.equal(await ended, -19);
        await app.dropSegment(memory);
      };
    },
    // As targets do, which finish before the disks.
    { shutdownFn: () => end() },
  );
  assert.equal(rc, 0);
});

test('the end of the application in the middle of everything', async () => {
  const server = await ScriptedServer.start();
  const rc = await withTarget(async ({ app }) => {
    await create(app, server.uri);
    const { memory, channel, own } = await openSilent(app, server);
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) channel.read(own, 0, 0, 512, (_, status) => void statuses.push(status), null);
    app.reactor.kick();
    while (server.asked.length < 5) await new Promise((resolve) => setImmediate(resolve));
    // It never answers; it goes, and what waits goes with the disk.
    const deleted = bdevRegistry(app.reactor).delete('R');
    await server.close();
    await deleted;
    assert.deepEqual(statuses, [-19, -19, -19, -19, -19]);
    await app.dropSegment(memory);
  });
  assert.equal(rc, 0);
});

test('a disk that is going waits for no connection', () => {
  const { host, options } = unconnected({} as SockGroup);
  let going = false;
  const channel = new InitiatorChannel(host);
  const disk = { isGoing: () => going, sizeBytes: () => 512, grown: () => {}, news: () => {} };
  const link = new Link('R', options, host.socks, channel, disk);
  const statuses: number[] = [];
  assert.equal(link.watch(), false, 'there is nothing to wait for');
  channel.submit({ complete: (status: number) => void statuses.push(status) } as unknown as BdevIo);
  for (let i = 0; i < 3; i++) assert.equal(link.watch(), true);
  assert.deepEqual(statuses, []);
  going = true;
  link.watch();
  assert.deepEqual(statuses, [-19]);
  assert.equal(link.watch(), false);
  link.close();
});

test('a server that is connected has its whole farewell, however long it has been waited for before', () => {
  const ended: string[] = [];
  const sock = { send: () => {}, recv: () => {}, close: () => void ended.push('closed') };
  const { host, options } = unconnected({ adopt: () => sock } as unknown as SockGroup);
  let going = false;
  const channel = new InitiatorChannel(host);
  const disk = { isGoing: () => going, sizeBytes: () => 512, grown: () => {}, news: () => {} };
  const link = new Link('R', options, host.socks, channel, disk);
  channel.attach(0);
  const io = { type: 0, byteOffset: 0, bytes: 0, complete: (status: number) => void ended.push(`${status}`) };
  channel.submit(io as unknown as BdevIo);
  for (let i = 0; i < 60_000 / WATCH_MS; i++) link.watch();
  going = true;
  // This look begins it.
  for (let i = 0; i < FAREWELL_MS / WATCH_MS; i++) link.watch();
  assert.deepEqual(ended, []);
  link.watch();
  assert.deepEqual(ended, ['closed']);
  link.close();
});
