/**
 * Rate limits. Checklist: SPDK's mt bdev_ut, basic_qos, io_during_qos_queue, io_during_qos_reset, qos_dynamic_enable, unregister_and_qos_poller; titles carry
 * their names. Its races between opening, removing and limiting (qos_bdev_open_close_data_race, bdev_unregister_open_qos_data_race) are in sim/bdev.sim.test.ts: limits are set on the
 * app core, and come to the others, who open and close, at any time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BdevDesc } from './desc.ts';
import { changedLimits, NO_QOS } from './qos.ts';
import { describeBdev } from './rpc.ts';
import { stubChannel } from './stub-module.sim.ts';
import { timed } from './stub-setup.sim.ts';

const KIB = 1024;

/** A disk whose limits are to be seen. */
async function limited(reactors: number) {
  const parts = await timed(reactors);
  const pass = (ms: number): void => {
    parts.clock.nowUs += ms * 1000;
  };
  return { ...parts, pass };
}

test('basic_qos: all cores together get what a slice allows, in order, and the rest later', async () => {
  const { cluster, bdev, cores, buf, done, cb, serve, pass, close } = await limited(2);
  await cluster.until(cluster.bdevs.setRates('S', { rw_ios_per_sec: 1500 }));
  assert.equal(bdev.rates.rw_ios_per_sec, 2000, 'rounded up');
  assert.deepEqual(describeBdev(bdev).assigned_rate_limits, { ...NO_QOS, rw_ios_per_sec: 2000 });
  pass(1);
  for (let i = 0; i < 5; i++) {
    for (const core of [0, 1]) assert.equal(cores[core].channel.read(buf, 0, i * 512, 512, cb, `${core}.${i}`), 0);
  }
  assert.equal(cores[0].channel.unmap(0, 512, cb, 'unmap'), 0);
  const counts = [serve()];
  while (done.length < 11) {
    pass(1);
    counts.push(serve());
  }
  assert.deepEqual(counts, [2, 2, 3, 2, 2], 'an unmap costs nothing, and keeps its place');
  for (const core of [0, 1]) {
    const own = done.filter((each) => each.startsWith(`${core}.`));
    assert.deepEqual(own, [...own].sort(), `in order on core ${core}`);
  }
  await close();
});

test('bytes: a limit may be overdrawn by one I/O, and the debt is paid', async () => {
  const { cluster, cores, buf, cb, serve, pass, close } = await limited(1);
  const [{ channel }] = cores;
  // 1 MiB a second: 1048 bytes a slice.
  await cluster.until(cluster.bdevs.setRates('S', { w_mbytes_per_sec: 1 }));
  pass(1);
  for (let i = 0; i < 3; i++) assert.equal(channel.write(buf, 0, 0, 8 * KIB, cb, i), 0);
  assert.equal(channel.read(buf, 0, 0, 512 * KIB, cb, 'read'), 0);
  assert.equal(serve(), 1);
  let slices = 0;
  const at: number[] = [];
  while (at.length < 2) {
    pass(1);
    slices++;
    if (serve() > 0) at.push(slices);
  }
  assert.deepEqual(at, [7, 15], '8192 bytes are 7.8 slices');
  await close();
});

test('the mean rate is what the limit says, however the I/Os come', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ blocks: fc.integer({ min: 1, max: 64 }), core: fc.nat(1), wait: fc.nat(3) }), {
        minLength: 1,
        maxLength: 60,
      }),
      fc.integer({ min: 1, max: 40 }),
      async (ios, mib) => {
        const { clock, cluster, cores, buf, done, cb, serve, pass, close } = await limited(2);
        await cluster.until(cluster.bdevs.setRates('S', { rw_mbytes_per_sec: mib }));
        pass(1);
        const from = clock.nowUs;
        let bytes = 0;
        for (const { blocks, core, wait } of ios) {
          assert.equal(cores[core].channel.write(buf, 0, 0, blocks * 512, cb, 0), 0);
          bytes += blocks * 512;
          pass(wait);
          serve();
        }
        while (done.length < ios.length) {
          pass(1);
          serve();
        }
        const perSlice = Math.floor((mib * KIB * KIB) / 1000);
        const slices = (clock.nowUs - from) / 1000 + 1;
        // The last of each core may have overdrawn it.
        assert.ok(bytes <= slices * perSlice + 2 * 64 * 512, `${bytes} bytes in ${slices} slices of ${perSlice}`);
        await close();
      },
    ),
    { numRuns: 50 },
  );
});

test('what waits has what was allowed while its core was late, up to a second of it; what nobody waited for is not kept', async () => {
  const { cluster, cores, buf, cb, serve, pass, close } = await limited(2);
  const [{ channel }, other] = cores;
  await cluster.until(cluster.bdevs.setRates('S', { rw_ios_per_sec: 1000, rw_mbytes_per_sec: 100 }));
  pass(1);
  const submit = (count: number): void => {
    for (let i = 0; i < count; i++) assert.equal(channel.read(buf, 0, 0, 512, cb, i), 0);
  };
  submit(1 + 50 + 10);
  const counts = [serve()];
  for (const late of [50, 1, 9, 30]) {
    pass(late);
    counts.push(serve());
  }
  assert.deepEqual(counts, [1, 50, 1, 9, 0]);
  submit(3);
  assert.equal(serve(), 1, 'nothing has waited');
  // Whoever comes first on another core finds it, too: one of two.
  pass(4);
  assert.equal(other.channel.read(buf, 0, 0, 512, cb, 'other'), 0);
  assert.equal(serve(), 3);
  submit(1500);
  pass(1);
  serve();
  pass(5000);
  assert.equal(serve(), 1000);
  await cluster.until(cluster.bdevs.setRates('S', { rw_ios_per_sec: 0, rw_mbytes_per_sec: 0 }));
  serve();
  await close();
});

test('qos_dynamic_enable: limits come and go while I/O waits, and gates with them', async () => {
  const { cluster, bdev, cores, buf, done, cb, serve, pass, close } = await limited(1);
  const [{ channel, stub }] = cores;
  await cluster.until(cluster.bdevs.setRates('S', { rw_ios_per_sec: 1000, r_mbytes_per_sec: 5 }));
  pass(1);
  for (let i = 0; i < 4; i++) assert.equal(channel.read(buf, 0, 0, 512, cb, i), 0);
  assert.equal(serve(), 1);
  assert.notEqual(channel.shared.gates, null);
  assert.deepEqual(
    cluster.bdevs.configCalls().filter(({ method }) => method === 'bdev_set_qos_limit'),
    [{ method: 'bdev_set_qos_limit', params: { name: 'S', ...NO_QOS, rw_ios_per_sec: 1000, r_mbytes_per_sec: 5 } }],
  );
  await cluster.until(cluster.bdevs.setRates('S', { rw_ios_per_sec: 0 }));
  assert.equal(bdev.rates.r_mbytes_per_sec, 5);
  assert.equal(serve(), 3, 'the other limit allows them');
  await cluster.until(cluster.bdevs.setRates('S', { r_mbytes_per_sec: 0 }));
  assert.equal(channel.shared.gates, null);
  assert.equal(channel.read(buf, 0, 0, 512, cb, 'after'), 0);
  assert.equal(stub.outstanding.length, 1);
  serve();
  assert.equal(done.length, 5);
  await close();
});

test('io_during_qos_queue, io_during_qos_reset, unregister_and_qos_poller: what waits is aborted, reset and ended', async () => {
  const { clock, cluster, cores, buf, done, cb, serve, pass, close } = await limited(1);
  const [{ channel, desc, stub }] = cores;
  await cluster.until(cluster.bdevs.setRates('S', { rw_ios_per_sec: 1000 }));
  pass(1);
  for (const name of ['a', 'b', 'c', 'd']) assert.equal(channel.read(buf, 0, 0, 512, cb, name), 0);
  assert.equal(stub.outstanding.length, 1);
  assert.equal(channel.abort('c'), 1);
  cluster.turns();
  assert.deepEqual(done.splice(0), ['c -125']);
  assert.equal(channel.reset(cb, 'reset'), 0);
  await cluster.untilTrue(() => {
    clock.nowUs += 20;
    return done.length === 4;
  });
  assert.deepEqual(done.splice(0).sort(), ['a -125', 'b -125', 'd -125', 'reset 0']);
  for (const name of ['e', 'f']) assert.equal(channel.read(buf, 0, 0, 512, cb, name), 0);
  const removal = cluster.bdevs.delete('S');
  await cluster.untilTrue(() => done.length > 0);
  serve();
  assert.deepEqual(done.sort(), ['e -19', 'f -19']);
  desc.close();
  await cluster.until(removal);
  await close();
});

test('io_during_qos_reset: one reset aborts what two cores have queued, and what comes meanwhile, the slice being spent', async () => {
  const { clock, cluster, cores, buf, done, cb, serve, pass, close } = await limited(2);
  await cluster.until(cluster.bdevs.setRates('S', { rw_ios_per_sec: 1000 }));
  pass(1);
  const [a, b] = cores;
  // It holds the reset up.
  a.stub.abortable = false;
  assert.equal(a.channel.read(buf, 0, 0, 512, cb, 'held'), 0);
  for (const [i, { channel }] of cores.entries()) {
    for (const name of ['x', 'y']) assert.equal(channel.read(buf, 0, 0, 512, cb, `${name}${i}`), 0);
  }
  assert.equal(a.channel.reset(cb, 'reset'), 0);
  await cluster.untilTrue(() => done.length === 4);
  assert.deepEqual(done.splice(0).sort(), ['x0 -125', 'x1 -125', 'y0 -125', 'y1 -125']);
  for (const [i, { channel }] of cores.entries()) assert.equal(channel.write(buf, 0, 0, 512, cb, `during${i}`), 0);
  for (let i = 0; i < 20; i++) cluster.round();
  assert.deepEqual(done.splice(0).sort(), ['during0 -125', 'during1 -125'], 'at once, not in the next slice');
  assert.equal(b.stub.outstanding.length, 0);
  a.stub.complete(1);
  await cluster.untilTrue(() => {
    clock.nowUs += 20;
    return done.length === 2;
  });
  assert.deepEqual(done.splice(0), ['held 0', 'reset 0']);
  for (let slices = 0; slices < 3; slices++) {
    pass(1);
    assert.equal(serve(), 0, 'what was reset does not come again');
  }
  assert.equal(b.channel.read(buf, 0, 0, 512, cb, 'after'), 0);
  assert.equal(serve(), 1);
  assert.deepEqual(done, ['after 0']);
  await close();
});

test('basic_qos: a channel that is opened later is held to the limit, on each core, and the limit outlives all descriptors', async () => {
  const { cluster, bdev, cores, buf, done, cb, serve, pass, close } = await limited(2);
  await cluster.until(cluster.bdevs.setRates('S', { rw_ios_per_sec: 2000 }));
  for (const { desc } of cores) desc.close();
  cluster.turns();
  for (let turn = 0; turn < 2; turn++) {
    for (const core of [0, 1]) {
      const desc = cluster.on(core, () => BdevDesc.open('S', { write: true, onEvent: () => {} }));
      cores[core] = { desc, channel: cluster.on(core, () => desc.getIoChannel()), stub: stubChannel('S', core) };
    }
    pass(1);
    for (const core of [0, 1]) {
      for (let i = 0; i < 2; i++) assert.equal(cores[core].channel.read(buf, 0, 0, 512, cb, core), 0);
    }
    assert.equal(serve(), 2);
    pass(1);
    assert.equal(serve(), 2);
    assert.deepEqual(done.splice(0).sort(), ['0 0', '0 0', '1 0', '1 0']);
    assert.equal(bdev.rates.rw_ios_per_sec, 2000);
    if (turn === 0) for (const { desc } of cores) desc.close();
    cluster.turns();
  }
  await close();
});

test('limits out of range are refused with the name, the value and the bound', () => {
  assert.throws(() => changedLimits(NO_QOS, { rw_mbytes_per_sec: 1_000_001 }), {
    code: 'EINVAL',
    message: /rw_mbytes_per_sec 1000001, limit 0 \(none\) to 1000000/,
  });
  assert.throws(() => changedLimits(NO_QOS, { rw_ios_per_sec: 1.5 }), { code: 'EINVAL' });
  assert.deepEqual(changedLimits({ ...NO_QOS, r_mbytes_per_sec: 3 }, { rw_ios_per_sec: 1 }), {
    ...NO_QOS,
    r_mbytes_per_sec: 3,
    rw_ios_per_sec: 1000,
  });
});
