/**
 * Superblocks: written before what they vouch for, read when disks appear, and the newest of them is right. The names in brackets are those of SPDK's bdev_raid_ut and bdev_raid_sb_ut; its other two runs, on disks
 * with metadata, have no like here, as such disks are no members. Damaged ones: raid-damage.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import { faultRegistry } from '../../../bdev/index.ts';
import { IO_FLAG_FUA, IO_WRITE } from '../../../bdev/io-type.ts';
import { type StubChannel, stubChannel, stubs } from '../../../bdev/stub-module.sim.ts';
import { channelOf, open, takeBdevIos } from '../../../bdev/stub-setup.sim.ts';
import type { Segment } from '../../../env/segment.ts';
import { log } from '../../../log/index.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import { createSplit } from '../split/split-bdev.ts';
import {
  allGood,
  answering,
  PLUGGABLE_BLOCKS as BLOCKS,
  contents,
  fill,
  Pluggable,
  setUpPluggable as setUp,
  setUpRaid,
  memberStates as states,
  stubDisks,
  superblockOf as superblock,
} from './raid-setup.sim.ts';
import {
  decodeRaidSuperblock,
  encodeRaidSuperblock,
  RAID_SB_CONFIGURED,
  RAID_SB_FAILED,
  RAID_SB_MISSING,
  type RaidSuperblock,
} from './raid-superblock.ts';

test('[test_create_raid_superblock] a raid is there again when its members are, whatever its level, with its name, uuid and data', async () => {
  for (const level of ['raid0', 'concat', 'raid1']) {
    const { cluster, disks, list, settle, raids, call } = await setUp(2, level);
    const { uuid, blocks } = cluster.bdevs.get('R');
    await fill(cluster, 5);
    assert.deepEqual(
      cluster.bdevs.configCalls().filter(({ method }) => method === 'bdev_raid_create'),
      [],
      'the superblocks say it',
    );
    const sb = await superblock(disks[0]);
    assert.deepEqual([sb?.name, sb?.raidSize, sb?.seqNumber, states(sb)], ['R', blocks, 1, [1, 1]]);
    assert.deepEqual(sb?.baseBdevs[1].uuid, disks[1].uuid);
    assert.equal(sb?.baseBdevs[1].dataOffset, 2048);
    await call('bdev_raid_delete', { name: 'R' });
    for (const disk of disks) await disk.pull();
    await disks[1].plug();
    await settle();
    assert.deepEqual(
      (await list('configuring')).map(({ name, num_base_bdevs_discovered: n }) => [name, n]),
      [['R', 1]],
    );
    assert.deepEqual(raids.configCalls().length, 1, 'only options');
    await disks[0].plug();
    await settle();
    const bdev = cluster.bdevs.get('R');
    assert.deepEqual([bdev.uuid, bdev.blocks], [uuid, blocks]);
    assert.deepEqual(await contents(cluster, 'R'), new Uint8Array(bdev.sizeBytes).fill(5));
    assert.equal((await superblock(disks[0]))?.seqNumber, 2);
    await call('bdev_raid_delete', { name: 'R', clear_sb: true });
    assert.deepEqual([await superblock(disks[0]), await superblock(disks[1])], [null, null]);
    await cluster.close();
  }
});

test('a raid on parts of a disk is there again when the parts are: their uuids stay the same', async () => {
  const { cluster, create, call, list, settle } = await setUpRaid({ reactors: 2 });
  await malloc(cluster, 'M', 2 * BLOCKS);
  const split = () => cluster.until(createSplit(cluster.reactors[0], { base_bdev: 'M', split_count: 2 }));
  await create('raid1', await split(), { superblock: true });
  await fill(cluster, 7);
  await call('bdev_raid_delete', { name: 'R' });
  for (const name of ['Mp0', 'Mp1']) await cluster.until(cluster.bdevs.delete(name));
  await split();
  await settle();
  assert.equal((await list('online'))[0].num_base_bdevs_operational, 2);
  assert.deepEqual(await contents(cluster, 'R'), new Uint8Array(64 * 512).fill(7));
  await cluster.close();
});

test('a member that has missed something is not used but rebuilt, whichever appears first', async () => {
  for (const order of [
    [0, 1, 2],
    [1, 2, 0],
    [2, 1, 0],
  ]) {
    const { cluster, disks, list, settle, raids, call } = await setUp(3);
    await fill(cluster, 1);
    await disks[1].pull();
    await cluster.untilTrue(() => raids.list()[0].slots[1].base === null);
    assert.deepEqual(states(await superblock(disks[0])), [RAID_SB_CONFIGURED, RAID_SB_MISSING, RAID_SB_CONFIGURED]);
    assert.deepEqual(states(await superblock(disks[1])), [1, 1, 1], 'it does not know');
    await fill(cluster, 2);
    await call('bdev_raid_delete', { name: 'R' });
    for (const disk of [disks[0], disks[2]]) await disk.pull();
    raids.options.process_max_bandwidth_mb_sec = 1;
    for (const i of order) await disks[i].plug();
    await settle();
    const rebuilt = new Set<unknown>();
    await cluster.untilTrue(() => {
      const { process, slots } = raids.list()[0];
      if (process !== null) rebuilt.add(process);
      return slots.every(({ good }) => good);
    });
    assert.equal(rebuilt.size, 1, 'once');
    assert.deepEqual(await contents(cluster, 'R'), new Uint8Array(64 * 512).fill(2));
    await allGood(cluster);
    for (const disk of disks) {
      assert.deepEqual((await disk.contents()).subarray(2048 * 512), new Uint8Array(64 * 512).fill(2));
      assert.deepEqual(states(await superblock(disk)), [1, 1, 1]);
    }
    assert.equal((await list('online'))[0].num_base_bdevs_operational, 3);
    await cluster.close();
  }
});

test('a raid whose last superblocks lack a member starts without it; a disk that is no member any more is left alone', async () => {
  const { cluster, disks, list, settle, raids, call } = await setUp(2);
  await disks[0].pull();
  await cluster.untilTrue(() => raids.list()[0].slots[0].base === null);
  const other = await Pluggable.make(cluster, 'P9', BLOCKS);
  await settle();
  await call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: 'P9' });
  await allGood(cluster);
  await call('bdev_raid_delete', { name: 'R' });
  await disks[1].pull();
  await other.pull();
  await disks[0].plug();
  await settle();
  assert.deepEqual(
    (await list()).map(({ state }) => state),
    ['configuring'],
    'the one that was pulled is not enough',
  );
  await disks[1].plug();
  await settle();
  await other.plug();
  await settle();
  assert.deepEqual(
    (await list('online')).map(({ base_bdevs_list }) => base_bdevs_list.map(({ name }) => name)),
    [['P9', 'P1']],
  );
  open(cluster, 'P0').close();
  await cluster.close();
});

test('it starts without a member that its superblock calls missing, and one that is taken out by hand stays out', async () => {
  const { cluster, disks, list, settle, call } = await setUp(2);
  await call('bdev_raid_remove_base_bdev', { name: 'P0' });
  assert.equal(await superblock(disks[0]), null);
  await call('bdev_raid_delete', { name: 'R' });
  for (const disk of disks) await disk.pull();
  for (const disk of disks) await disk.plug();
  await settle();
  const [info] = await list('online');
  assert.deepEqual(
    info.base_bdevs_list.map(({ is_configured }) => is_configured),
    [false, true],
  );
  open(cluster, 'P0').close();
  await cluster.close();
});

test('what all that goes takes with it is not degraded: nobody is called missing at the end', async () => {
  const { cluster, disks } = await setUp(2);
  await disks[0].pull();
  await disks[0].plug();
  await cluster.until(cluster.bdevs.waitForExamine());
  await allGood(cluster);
  const sb = await superblock(disks[0]);
  // P0 is newer than the raid now, and goes first.
  const order = cluster.bdevs.list().map(({ name }) => name);
  assert.ok(order.indexOf('P0') > order.indexOf('R'));
  const kept = disks.map((disk) => disk.memory());
  await cluster.close();
  for (const bytes of kept) {
    const after = decodeRaidSuperblock(bytes) as RaidSuperblock;
    assert.deepEqual([after.seqNumber, states(after)], [sb?.seqNumber, [1, 1]]);
  }
});

test('[test_raid_bdev_load_base_bdev_superblock] superblocks that are damaged, of no level, or of disks that do not fit are refused, and nothing is held', async () => {
  const { cluster, disks, list, settle, call } = await setUp(2);
  const good = (await superblock(disks[0])) as RaidSuperblock;
  await call('bdev_raid_delete', { name: 'R' });
  const tries: Uint8Array[] = [];
  const damaged = encodeRaidSuperblock(good);
  damaged[130] ^= 1;
  tries.push(damaged);
  tries.push(encodeRaidSuperblock({ ...good, level: 77 }));
  tries.push(encodeRaidSuperblock({ ...good, blockSize: 4096 }));
  tries.push(encodeRaidSuperblock({ ...good, name: 'P1' }));
  tries.push(
    encodeRaidSuperblock({ ...good, baseBdevs: good.baseBdevs.map((each) => ({ ...each, dataSize: 1 << 20 })) }),
  );
  for (const [i, bytes] of tries.entries()) {
    await disks[0].pull();
    const desc = open(cluster, 'memory-P0');
    const channel = channelOf(cluster, desc);
    const buf = cluster.memory(512);
    buf.u8.set(bytes.subarray(0, 512));
    const done: number[] = [];
    channel.write(buf, 0, 0, 512, (_, status) => void done.push(status), null);
    cluster.turns();
    assert.deepEqual(done, [0]);
    desc.close();
    await disks[0].plug();
    await settle();
    assert.deepEqual(await list('online'), [], `${i}`);
    for (const { name } of await list()) await call('bdev_raid_delete', { name });
    open(cluster, 'P0').close();
  }
  await cluster.close();
});

/** The superblock that an I/O writes. */
function written(io: BdevIo): RaidSuperblock {
  const segment = io.iovs.segment[0] as Segment;
  return decodeRaidSuperblock(segment.u8.slice(io.iovs.offset[0], io.iovs.offset[0] + io.bytes)) as RaidSuperblock;
}

const all = (name: string): StubChannel[] => stubs.channels.get(name) ?? [];
const own = (name: string): BdevIo[] =>
  all(name)
    .flatMap(({ outstanding }) => outstanding)
    .filter((io) => io.type === IO_WRITE && io.byteOffset === 0);

function answer(name: string, status = 0): void {
  for (const channel of all(name)) channel.complete(channel.outstanding.length, status);
}

test('[test_raid_bdev_write_superblock] superblocks of several blocks are written to one member first: a power cut may tear them, and not all', async () => {
  const { cluster, raids, create } = await setUpRaid();
  const names = ['M0', 'M1', 'M2', 'M3', 'M4', 'M5'];
  for (const name of names) await malloc(cluster, name, BLOCKS);
  const faults = faultRegistry(cluster.reactors[0]);
  const id = await cluster.until(faults.add('M0', { op: 'write', action: 'stuck', count: 1 }));
  const made = create('raid1', names, { superblock: true });
  await cluster.untilTrue(() => faults.list('M0')[0]?.struck === 1);
  for (let i = 0; i < 100; i++) cluster.round();
  const begins = async (name: string): Promise<string> =>
    Buffer.from((await contents(cluster, name)).subarray(0, 8)).toString('latin1');
  for (const name of names) assert.equal(await begins(name), '\0'.repeat(8), name);
  await cluster.until(faults.resume('M0'));
  await made;
  for (const name of names) assert.equal(await begins(name), 'SPDKRAID', name);
  await cluster.until(faults.remove(id));
  await cluster.until(raids.delete('R'));
  await cluster.close();
});

test('a write that fails on a member is acknowledged after the superblocks of the others say so, on stable storage', async () => {
  const { cluster, create, raids } = await setUpRaid({ reactors: 2 });
  const names = await stubDisks(cluster, 3, { blocks: BLOCKS });
  await answering(cluster, names, create('raid1', names, { superblock: true }));
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(512);
  const done: number[] = [];
  channel.write(buf, 0, 0, 512, (_, status) => void done.push(status), null);
  for (const [i, name] of names.entries()) stubChannel(name).complete(1, i === 2 ? -5 : 0);
  for (const name of names.slice(0, 2)) {
    await cluster.untilTrue(() => own(name).length === 1);
    const [io] = own(name);
    assert.equal(io.flags & IO_FLAG_FUA, IO_FLAG_FUA);
    assert.deepEqual([states(written(io)), written(io).seqNumber], [[1, 1, RAID_SB_FAILED], 2]);
    if (name === names[0]) answer(name);
  }
  assert.deepEqual(own(names[2]), [], 'the one that failed gets none');
  for (let i = 0; i < 50; i++) await cluster.until(Promise.resolve());
  assert.deepEqual(done, [], 'one superblock is not enough');
  // The second cannot be written: that member is left out too, and the third superblock says so.
  answer(names[1], -5);
  await cluster.untilTrue(() => own(names[0]).length === 1);
  assert.deepEqual(states(written(own(names[0])[0])), [1, RAID_SB_FAILED, RAID_SB_FAILED]);
  assert.deepEqual(done, []);
  answer(names[0]);
  await cluster.untilTrue(() => done.length > 0);
  assert.deepEqual(done, [0]);
  // That member is dropped in the same way, by a superblock of its own.
  await answering(
    cluster,
    names,
    raids.list()[0].serial(async () => {}),
  );
  assert.deepEqual(
    raids.list()[0].slots.map(({ base }) => base !== null),
    [true, false, false],
  );
  desc.close();
  await answering(cluster, names, cluster.bdevs.fini());
  await cluster.close();
});

test('[test_raid_bdev_write_superblock] no superblock can be written: what failed on a member fails, and is not acknowledged', async () => {
  const { cluster, create, raids } = await setUpRaid();
  const names = await stubDisks(cluster, 2, { blocks: BLOCKS });
  await answering(cluster, names, create('raid1', names, { superblock: true }));
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(512);
  const done: number[] = [];
  const write = () => channel.write(buf, 0, 0, 512, (_, status) => void done.push(status), null);
  for (const status of [-5, 0]) {
    write();
    stubChannel(names[0]).complete(1);
    stubChannel(names[1]).complete(1, -28);
    await cluster.untilTrue(() => own(names[0]).length === 1);
    answer(names[0], status);
    await cluster.untilTrue(() => {
      if (status === 0) answer(names[0]);
      return done.length > 0;
    });
    assert.deepEqual(done.splice(0), [status === 0 ? 0 : -28]);
  }
  assert.equal(raids.list()[0].slots[1].base, null, 'the second time it worked');
  desc.close();
  await answering(cluster, names, cluster.bdevs.fini());
  await cluster.close();
});

test('a drop that no superblock could record is tried again after a second; until then the member is read', async () => {
  const { cluster, create, raids } = await setUpRaid();
  const names = await stubDisks(cluster, 2, { blocks: BLOCKS });
  await answering(cluster, names, create('raid1', names, { superblock: true }));
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(512);
  const done: number[] = [];
  const cb = (_: unknown, status: number) => void done.push(status);
  channel.write(buf, 0, 0, 512, cb, null);
  stubChannel(names[0]).complete(1);
  stubChannel(names[1]).complete(1, -28);
  await cluster.untilTrue(() => own(names[0]).length === 1);
  answer(names[0], -5);
  const [raid] = raids.list();
  await cluster.until(raid.serial(async () => {}));
  assert.deepEqual(done.splice(0), [-28]);
  for (let i = 0; i < 2; i++) channel.read(buf, 0, 0, 512, cb, null);
  assert.equal(stubChannel(names[1]).outstanding.length, 1);
  for (const name of names) answer(name);
  cluster.clock.nowUs += 900_000;
  for (let i = 0; i < 20; i++) await cluster.until(Promise.resolve());
  assert.deepEqual(own(names[0]), []);
  cluster.clock.nowUs += 200_000;
  await cluster.untilTrue(() => own(names[0]).length === 1);
  answer(names[0]);
  await cluster.until(raid.serial(async () => {}));
  assert.equal(raid.slots[1].base, null);
  assert.deepEqual(done, [0, 0]);
  desc.close();
  await answering(cluster, names, cluster.bdevs.fini());
  await cluster.close();
});

test('a member that is rebuilt is called good by the others first, and not at all when they cannot be told', async () => {
  const { cluster, create, call, raids } = await setUpRaid();
  const names = await stubDisks(cluster, 3, { blocks: BLOCKS });
  await answering(cluster, names, create('raid1', [names[0], names[1], ''], { superblock: true }));
  const add = { raid_bdev: 'R', base_bdev: names[2] };
  const raid = raids.list()[0];
  for (const status of [-5, 0]) {
    await answering(cluster, names, call('bdev_raid_add_base_bdev', add));
    // All but superblocks is answered.
    const copied = () => {
      for (const name of names) {
        for (const channel of all(name)) {
          const data = channel.outstanding.filter((io) => io.byteOffset !== 0 || io.type !== IO_WRITE);
          for (const io of data) channel.outstanding.splice(channel.outstanding.indexOf(io), 1);
          for (const io of data) io.complete(0);
        }
      }
      return own(names[0]).length === 1;
    };
    await cluster.untilTrue(copied);
    assert.deepEqual(own(names[2]), []);
    assert.deepEqual(states(written(own(names[0])[0])), [1, 1, RAID_SB_CONFIGURED]);
    answer(names[0]);
    await cluster.untilTrue(() => own(names[1]).length === 1);
    answer(names[1], status);
    if (status !== 0) {
      await cluster.untilTrue(() => own(names[0]).length === 1);
      assert.deepEqual(states(written(own(names[0])[0])), [1, 1, RAID_SB_FAILED], 'the others take it back');
      assert.deepEqual(own(names[2]), []);
    }
    await answering(
      cluster,
      names,
      cluster.untilTrue(() => raid.process === null && (raid.slots[2].base === null) === (status !== 0)),
    );
    await answering(
      cluster,
      names,
      raid.serial(async () => {}),
    );
    assert.equal(raid.slots[2].good, status === 0);
    await cluster.untilTrue(() => (cluster.bdevs.get(names[2]).shared.claim === 0) === (status !== 0));
  }
  await answering(cluster, names, cluster.bdevs.fini());
  await cluster.close();
});

test('[test_raid_bdev_load_base_bdev_superblock] one that is longer than what is read at first is read whole; a disk that cannot be read is named', async (t) => {
  const { cluster, disks, list, settle, call } = await setUp(2);
  const good = (await superblock(disks[0])) as RaidSuperblock;
  await call('bdev_raid_delete', { name: 'R' });
  for (const disk of disks) await disk.pull();
  const more = Array.from({ length: 99 }, (_, i) => ({
    ...good.baseBdevs[1],
    uuid: `00000000-0000-4000-9000-${String(i).padStart(12, '0')}`,
    slot: i + 1,
  }));
  const long = { ...good, numBaseBdevs: 100, baseBdevs: [good.baseBdevs[0], ...more] };
  disks[0].memory().set(encodeRaidSuperblock(long));
  await cluster.until(
    faultRegistry(cluster.reactors[0]).add('memory-P1', { op: 'read', action: 'error', errno: 'EIO' }),
  );
  const lines: string[] = [];
  log.open(({ text }) => void lines.push(text));
  t.after(() => log.close());
  for (const disk of disks) await disk.plug();
  await settle();
  log.close();
  const [info] = await list('configuring');
  assert.deepEqual([info.base_bdevs_list.length, info.num_base_bdevs_discovered], [100, 1]);
  assert.deepEqual(info.base_bdevs_list.at(-1)?.uuid, more[98].uuid);
  assert.ok(
    lines.some((line) => /bdev "P1".*first blocks cannot be read/.test(line)),
    lines.join('\n'),
  );
  await cluster.close();
});

test('[test_raid_bdev_write_superblock] a superblock for which there is no BdevIo is written when there is one', async () => {
  const { cluster, raids, create, settle } = await setUpRaid();
  for (const name of ['M0', 'M1', 'M2']) await malloc(cluster, name, BLOCKS);
  await create('raid1', ['M0', 'M1', 'M2'], { superblock: true });
  await settle();
  const { pool } = cluster.bdevs.get('R').manager;
  pool.setOptions({ ios: pool.all.length, growBy: 1 });
  const giveBack = takeBdevIos(pool);
  const [raid] = raids.list();
  raid.memberFailed(2, 0);
  await cluster.untilTrue(() => pool.waiting === 1);
  assert.ok(raid.slots[2].base !== null, 'it is not dropped yet');
  giveBack();
  await cluster.until(raid.serial(async () => {}));
  assert.equal(raid.slots[2].base, null);
  const first = Uint8Array.from((await contents(cluster, 'M0')).subarray(0, 512));
  assert.deepEqual(states(decodeRaidSuperblock(first) as RaidSuperblock), [1, 1, RAID_SB_FAILED]);
  await cluster.close();
});
