/** The block layer over several reactors: replicas, removal and reset across cores. What is carried to a home core: carry.test.ts. Checklist as in bdev.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IoVecs } from '../env/iovecs.ts';
import { malloc } from '../module/bdev/malloc/malloc-setup.sim.ts';
import { startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { stubChannel, stubs } from './stub-module.sim.ts';

test('basic: what is written on one reactor is read on another, by plain and by vectored calls', async () => {
  const cluster = await startCluster({ reactors: 3 });
  await malloc(cluster, 'M', 4096);
  const buf = cluster.memory(65536);
  for (let i = 0; i < 8192; i++) buf.u8[i] = i * 7;
  const statuses: number[] = [];
  const done = (_: unknown, status: number): void => void statuses.push(status);
  const writer = cluster.on(1, () => BdevDesc.open('M', { write: true, onEvent: () => {} }));
  const reader = cluster.on(2, () => BdevDesc.open('M', { write: false, onEvent: () => {} }));
  const out = cluster.on(1, () => writer.getIoChannel());
  assert.equal(out.write(buf, 0, 1024, 8192, done, null), 0);
  assert.deepEqual(statuses, [], 'never from inside the call');
  cluster.turns();
  const iovs = new IoVecs(4);
  iovs.push(buf, 20000, 100);
  iovs.push(buf, 30000, 8092);
  assert.equal(cluster.on(2, () => reader.getIoChannel()).readv(iovs, 1024, done, null), 0);
  cluster.turns();
  assert.deepEqual(statuses, [0, 0]);
  assert.deepEqual(buf.u8.slice(20000, 20100), buf.u8.slice(0, 100));
  assert.deepEqual(buf.u8.slice(30000, 38092), buf.u8.slice(100, 8192));
  writer.close();
  reader.close();
  await cluster.close();
});

test('one channel a thread, shared by its descriptors; descriptors of another thread have another', async () => {
  const cluster = await startCluster({ reactors: 2 });
  await cluster.until(cluster.bdevs.create('stub', { name: 'S1' }));
  const opts = { write: false, onEvent: () => {} };
  const [a, b] = [cluster.on(0, () => BdevDesc.open('S1', opts)), cluster.on(0, () => BdevDesc.open('S1', opts))];
  const [x, y] = [cluster.on(0, () => a.getIoChannel()), cluster.on(0, () => b.getIoChannel())];
  assert.equal(x.shared, y.shared);
  assert.equal(cluster.threads[0].channels.size, 1, 'the thread layer knows it');
  assert.throws(() => cluster.on(1, () => x.close()), { code: 'EWRONGTHREAD' });
  a.close();
  cluster.turns();
  assert.equal(stubChannel('S1').closed, false);
  b.close();
  cluster.turns();
  assert.equal(stubChannel('S1').closed, true);
  await cluster.close();
});

test('unregister_and_close_different_threads, unregister_during_reset: the disk goes when every core has let go', async () => {
  const cluster = await startCluster({ reactors: 3 });
  await cluster.until(cluster.bdevs.create('stub', { name: 'S2' }));
  const events: number[] = [];
  const descs = [0, 1, 2].map((core) =>
    cluster.on(core, () => BdevDesc.open('S2', { write: true, onEvent: () => void events.push(core) })),
  );
  const channels = descs.map((desc, core) => cluster.on(core, () => desc.getIoChannel()));
  const buf = cluster.memory(512);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  stubChannel('S2', 1).abortable = false;
  channels[1].read(buf, 0, 0, 512, cb, 'read');
  channels[2].reset(cb, 'reset');
  cluster.turns();
  let gone = false;
  const removal = cluster.bdevs.delete('S2').then(() => {
    gone = true;
  });
  await cluster.untilTrue(() => events.length === 3);
  stubs.closedBackends.length = 0;
  cluster.on(0, () => descs[0].close());
  cluster.on(2, () => descs[2].close());
  stubChannel('S2', 1).complete(1);
  cluster.clock.nowUs += 100;
  cluster.turns();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(gone, false);
  assert.deepEqual(done, ['read -19', 'reset -19']);
  cluster.on(1, () => descs[1].close());
  await cluster.until(removal);
  assert.deepEqual(stubs.closedBackends.toSorted(), ['S2 0', 'S2 1', 'S2 2']);
  await cluster.close();
});

test('put_channel_during_reset: every core stops, drains and goes on; channels may go meanwhile', async () => {
  const cluster = await startCluster({ reactors: 3 });
  await cluster.until(cluster.bdevs.create('stub', { name: 'S3' }));
  const descs = [0, 1, 2].map((core) =>
    cluster.on(core, () => BdevDesc.open('S3', { write: true, onEvent: () => {} })),
  );
  const channels = descs.map((desc, core) => cluster.on(core, () => desc.getIoChannel()));
  const buf = cluster.memory(512);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  stubChannel('S3', 2).abortable = false;
  for (const core of [0, 1, 2]) channels[core].read(buf, 0, 0, 512, cb, core);
  channels[0].reset(cb, 'reset');
  cluster.turns();
  assert.deepEqual(done.toSorted(), ['0 -125', '1 -125']);
  cluster.on(1, () => descs[1].close());
  channels[0].read(buf, 0, 0, 512, cb, 'during');
  cluster.turns();
  assert.ok(done.includes('during -125'));
  stubChannel('S3', 2).complete(1);
  cluster.clock.nowUs += 100;
  cluster.turns();
  assert.deepEqual(done.slice(-2), ['2 0', 'reset 0']);
  channels[2].read(buf, 0, 0, 512, cb, 'after');
  stubChannel('S3', 2).complete(1);
  assert.equal(done.at(-1), 'after 0');
  cluster.on(0, () => descs[0].close());
  cluster.on(2, () => descs[2].close());
  await cluster.close();
});

test('a disk that cannot be attached on every core exists on none', async () => {
  const cluster = await startCluster({ reactors: 3 });
  stubs.destroyed.length = 0;
  await assert.rejects(cluster.until(cluster.bdevs.create('stub', { name: 'S4', failOn: 2 })), /attach fails here/);
  assert.deepEqual(stubs.destroyed, ['S4']);
  assert.equal(cluster.bdevs.has('S4'), false);
  for (const core of [0, 1, 2]) {
    assert.throws(() => cluster.on(core, () => BdevDesc.open('S4', { write: false, onEvent: () => {} })), {
      code: 'ENODEV',
    });
  }
  await cluster.until(cluster.bdevs.create('stub', { name: 'S4' }));
  await cluster.close();
});

test('registries are for the app core', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const { bdevRegistry } = await import('./registry.ts');
  assert.throws(() => bdevRegistry(cluster.reactors[1]), { code: 'EWRONGTHREAD' });
  await cluster.close();
});

test('hot removal under load: every I/O completes once, with its data or -ENODEV, and nothing is left', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        home: fc.constantFrom(-1, 0, 1),
        depth: fc.integer({ min: 1, max: 32 }),
        before: fc.nat(200),
        closeAfter: fc.nat(20),
        seed: fc.nat(),
      }),
      async ({ home, depth, before, closeAfter, seed }) => {
        const cluster = await startCluster({ reactors: 2 });
        await cluster.until(cluster.bdevs.create('stub', { name: 'L', homeCore: home }));
        const buf = cluster.memory(512);
        let random = seed | 1;
        const next = (n: number): number => {
          random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
          return (random >> 8) % n;
        };
        let submitted = 0;
        let completed = 0;
        let removed = 0;
        const users = [0, 1].map((core) => {
          const desc = cluster.on(core, () => BdevDesc.open('L', { write: true, onEvent: () => void removed++ }));
          const channel = cluster.on(core, () => desc.getIoChannel());
          const seen = new Set<number>();
          const submit = (): void => {
            const id = submitted;
            const rc = channel.read(buf, 0, 0, 512, cb, id);
            if (rc === 0) submitted++;
            else assert.equal(rc, -19);
          };
          const cb = (ctx: unknown, status: number): void => {
            assert.equal(seen.has(ctx as number), false, 'once');
            seen.add(ctx as number);
            completed++;
            assert.ok(status === 0 || status === -19);
            if (status === 0 && removed > 0) assert.fail('after the event only -ENODEV');
            submit();
          };
          for (let i = 0; i < depth; i++) submit();
          return { core, desc };
        });
        const work = (): void => {
          cluster.round();
          for (const channel of stubs.channels.get('L') ?? []) channel.complete(next(depth + 1));
        };
        for (let i = 0; i < before; i++) work();
        const removal = cluster.bdevs.delete('L');
        while (removed < 2) {
          work();
          await new Promise((resolve) => setImmediate(resolve));
        }
        for (let i = 0; i < closeAfter; i++) work();
        for (const { core, desc } of users) cluster.on(core, () => desc.close());
        let gone = false;
        void removal.then(() => {
          gone = true;
        });
        while (!gone) {
          work();
          await new Promise((resolve) => setImmediate(resolve));
        }
        assert.equal(completed, submitted);
        stubs.channels.delete('L');
        await cluster.close();
      },
    ),
    { numRuns: 60 },
  );
});
