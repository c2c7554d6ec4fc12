/** What tests of members that are dropped start from: raids on disks that answer when they are told to. */
import assert from 'node:assert/strict';
import type { BdevIo } from '../../../bdev/bdev-io.ts';
import type { Cluster } from '../../../bdev/cluster.sim.ts';
import { IO_READ } from '../../../bdev/io-type.ts';
import { stubs } from '../../../bdev/stub-module.sim.ts';
import { channelOf, open } from '../../../bdev/stub-setup.sim.ts';
import { answering, setUpRaid, stubDisks } from './raid-setup.sim.ts';

/** Far more than any drop takes. */
const ROUNDS = 500;

/** Turns until `condition` holds; fails with `what` when that does not come. */
export async function soon(cluster: Cluster, what: string, condition: () => boolean): Promise<void> {
  let left = ROUNDS;
  await cluster.untilTrue(() => condition() || --left === 0);
  assert.ok(condition(), what);
}

/** What a disk has under way, on whatever channel. */
export const outstanding = (name: string): BdevIo[] =>
  (stubs.channels.get(name) ?? []).flatMap((channel) => channel.outstanding);

/** Ends what a disk has under way and `which` picks. */
export function end(name: string, which: (io: BdevIo) => boolean = () => true, status = 0): void {
  for (const channel of stubs.channels.get(name) ?? []) {
    const picked = channel.outstanding.filter(which);
    for (const io of picked) channel.outstanding.splice(channel.outstanding.indexOf(io), 1);
    for (const io of picked) io.complete(status);
  }
}

/** A raid with a free place at 0, which gets a member that is rebuilt; it reads its first window. */
export async function rebuilding(level: string, windowKb = 4) {
  const all = await setUpRaid();
  const { cluster, raids, create, call } = all;
  const names = await stubDisks(cluster, 3, { blocks: 64 });
  await answering(cluster, names, create(level, ['', names[1], names[2]]));
  raids.options.process_window_size_kb = windowKb;
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(65536);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number) => void done.push(`${ctx} ${status}`);
  await answering(cluster, [names[0]], call('bdev_raid_add_base_bdev', { raid_bdev: 'R', base_bdev: names[0] }));
  const [raid] = raids.list();
  const reads = (name: string) => outstanding(name).filter(({ type }) => type === IO_READ).length;
  await soon(cluster, 'the first window is read', () => reads(names[1]) === 1);
  /** Once the writes of the second window are under way. */
  const lockSecond = async () => {
    const data = ({ byteOffset }: BdevIo) => byteOffset < 4096;
    await soon(cluster, 'the first window is copied', () => {
      for (const name of names) end(name, data);
      return raid.process?.doneBlocks === 8;
    });
    // The lock is asked for, and waits.
    for (let i = 0; i < 20; i++) cluster.round();
    assert.equal(reads(names[1]), 0);
  };
  const tearDown = async () => {
    desc.close();
    await answering(cluster, names, cluster.bdevs.fini());
    await cluster.close();
  };
  return { ...all, raid, names, channel, buf, done, cb, lockSecond, tearDown };
}

/** A raid1 of three with superblocks, on disks that answer only when they are told to, and a write of it. */
export async function threeWithSuperblocks() {
  const all = await setUpRaid();
  const { cluster, raids, create } = all;
  const names = await stubDisks(cluster, 4, { blocks: 2048 + 64 });
  await answering(cluster, names, create('raid1', names.slice(0, 3), { superblock: true }));
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(512);
  const done: number[] = [];
  /** A write fails on the last member, and is acknowledged while disks of `silent` answer nothing. */
  const failOnLast = async (silent: string) => {
    channel.write(buf, 0, 0, 512, (_, status) => void done.push(status), null);
    for (const name of names.slice(0, 3)) end(name, ({ byteOffset }) => byteOffset > 0, name === names[2] ? -5 : 0);
    await soon(cluster, 'the write is acknowledged', () => {
      for (const name of names) if (name !== silent) end(name);
      return done.length === 1;
    });
    assert.deepEqual(done, [0]);
  };
  const tearDown = async () => {
    desc.close();
    await answering(cluster, names, cluster.bdevs.fini());
    await cluster.close();
  };
  return { ...all, raid: raids.list()[0], names, channel, buf, done, failOnLast, tearDown };
}
