/** What the tests of RAID disks start from: memory or stub disks, the RPC methods, and reading all of a disk. */
import assert from 'node:assert/strict';
import { type Cluster, type ClusterOptions, startCluster } from '../../../bdev/cluster.sim.ts';
import { type StubChannel, stubChannel, stubs } from '../../../bdev/stub-module.sim.ts';
import { channelOf, make, open } from '../../../bdev/stub-setup.sim.ts';
import { RPC_RUNTIME, RpcRegistry } from '../../../rpc/index.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import '../passthru/passthru-bdev.ts';
import './raid-bdev.ts';
import { raidRegistry } from './raid-registry.ts';
import { decodeRaidSuperblock, type RaidSuperblock } from './raid-superblock.ts';
import { registerRaidRpc } from './rpc.ts';

/** A raid as bdev_raid_get_bdevs tells it, as far as tests look. */
export interface RaidInfo {
  readonly name: string;
  readonly state: string;
  readonly num_base_bdevs_discovered: number;
  readonly num_base_bdevs_operational: number;
  readonly process?: {
    readonly target: string;
    readonly progress: { readonly blocks: number; readonly percent: number };
  };
  readonly base_bdevs_list: {
    readonly name: string | null;
    readonly is_configured: boolean;
    readonly uuid: string;
    readonly error?: string;
  }[];
}

export async function setUpRaid(options: ClusterOptions = {}) {
  const cluster = await startCluster(options);
  const raids = raidRegistry(cluster.reactors[0]);
  const rpc = new RpcRegistry();
  registerRaidRpc(rpc, { raids: () => raids });
  rpc.state = RPC_RUNTIME;
  const call = (method: string, params?: object) => cluster.until((async () => rpc.call(method, params))());
  const create = (raid_level: string, base_bdevs: string[], more: object = {}) =>
    call('bdev_raid_create', {
      name: 'R',
      raid_level,
      base_bdevs,
      ...(raid_level === 'raid1' ? {} : { strip_size_kb: 4 }),
      ...more,
    });
  const list = async (category = 'all') => (await call('bdev_raid_get_bdevs', { category })) as RaidInfo[];
  const settle = () => cluster.until(cluster.bdevs.waitForExamine());
  return { cluster, raids, call, create, list, settle };
}

/** Until the members of raid R are all up to date, and their superblocks say so. */
export async function allGood(cluster: Cluster): Promise<void> {
  const raid = raidRegistry(cluster.reactors[0]).get('R');
  await cluster.untilTrue(() => raid.slots.every(({ good }) => good));
  await cluster.until(raid.serial(async () => {}));
}

let uuids = 0;

/** Stub disks whose names no other test has. */
export async function stubDisks(cluster: Cluster, count: number, params: object = {}): Promise<string[]> {
  const names = Array.from({ length: count }, () => `raid-stub-${++uuids}`);
  for (const name of names) await make(cluster, { name, ...params });
  return names;
}

/** All that is on a disk. */
export async function contents(cluster: Cluster, name: string): Promise<Uint8Array> {
  const desc = open(cluster, name, false);
  const channel = channelOf(cluster, desc);
  const { sizeBytes } = desc.bdev;
  const buf = cluster.memory(sizeBytes);
  const done: number[] = [];
  assert.equal(
    channel.read(buf, 0, 0, sizeBytes, (_, status) => void done.push(status), null),
    0,
  );
  await cluster.untilTrue(() => done.length > 0);
  assert.deepEqual(done, [0], `reading ${name}`);
  desc.close();
  const bytes = Uint8Array.from(buf.u8);
  cluster.forget(buf);
  return bytes;
}

/**
 * A disk that can be pulled and put back: a passthru disk with a uuid of its own on memory that stays. Its content is that of `memory(name)`.
 */
export class Pluggable {
  readonly #cluster: Cluster;
  readonly name: string;
  readonly uuid: string;

  private constructor(cluster: Cluster, name: string, uuid: string) {
    this.#cluster = cluster;
    this.name = name;
    this.uuid = uuid;
  }

  /** Made, and put in. */
  static async make(cluster: Cluster, name: string, blocks = 256): Promise<Pluggable> {
    await malloc(cluster, `memory-${name}`, blocks);
    const uuid = `00000000-0000-4000-8000-${(++uuids).toString(16).padStart(12, '0')}`;
    const disk = new Pluggable(cluster, name, uuid);
    await disk.plug();
    return disk;
  }

  plug(): Promise<unknown> {
    const { name, uuid } = this;
    return this.#cluster.until(
      this.#cluster.bdevs.create('passthru', { name, base_bdev_name: `memory-${name}`, uuid }),
    );
  }

  pull(): Promise<void> {
    return this.#cluster.until(this.#cluster.bdevs.delete(this.name));
  }

  contents(): Promise<Uint8Array> {
    return contents(this.#cluster, `memory-${this.name}`);
  }

  /** What it keeps, to look at and to change by other ways than its own. */
  memory(): Uint8Array {
    const { manager, spec } = this.#cluster.bdevs.get(`memory-${this.name}`);
    const [segment] = (spec.data as { segments: number[] }).segments;
    return manager.reactor.segments.get(segment).u8;
  }
}

/** Of each disk of `setUpPluggable`: 64 of data behind a superblock. */
export const PLUGGABLE_BLOCKS = 2048 + 64;

/** Raid R with superblocks on disks P0, P1, ... */
export async function setUpPluggable(count: number, level = 'raid1') {
  const all = await setUpRaid({ reactors: 2 });
  const disks: Pluggable[] = [];
  for (let i = 0; i < count; i++) disks.push(await Pluggable.make(all.cluster, `P${i}`, PLUGGABLE_BLOCKS));
  await all.settle();
  await all.create(
    level,
    disks.map(({ name }) => name),
    { superblock: true },
  );
  return { ...all, disks };
}

/** The superblock of a disk; null: none. */
export async function superblockOf(disk: Pluggable): Promise<RaidSuperblock | null> {
  return decodeRaidSuperblock(await disk.contents()) as RaidSuperblock | null;
}

export const memberStates = (sb: RaidSuperblock | null) => sb?.baseBdevs.map(({ state }) => state);

/** Writes all of raid R. */
export async function fill(cluster: Cluster, value: number): Promise<void> {
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const buf = cluster.memory(desc.bdev.sizeBytes);
  buf.u8.fill(value);
  const done: number[] = [];
  channel.write(buf, 0, 0, buf.u8.length, (_, status) => void done.push(status), null);
  await cluster.untilTrue(() => done.length > 0);
  assert.deepEqual(done, [0]);
  desc.close();
}

/** Has the disks' I/O answered with 0 until `promise` settles. */
export async function answering<T>(cluster: Cluster, names: readonly string[], promise: Promise<T>): Promise<T> {
  let settled = false;
  const done = promise.finally(() => {
    settled = true;
  });
  done.catch(() => {});
  await cluster.untilTrue(() => {
    for (const name of names) {
      for (const channel of stubs.channels.get(name) ?? []) channel.complete(channel.outstanding.length);
    }
    return settled;
  });
  return done;
}

/** A raid1 over stubs, with a channel; `stub` are its channels of them. */
export async function raid1OnStubs(count: number, more: object = {}, params: object = {}, reactors = 1) {
  const { cluster, create, call, list, raids } = await setUpRaid({ reactors });
  const names = await stubDisks(cluster, count, { blocks: 64, ...params });
  await answering(cluster, names, create('raid1', names, more));
  const desc = open(cluster, 'R');
  const channel = channelOf(cluster, desc);
  const done: string[] = [];
  const cb = (ctx: unknown, status: number) => void done.push(`${ctx} ${status}`);
  const stub = names.map((name) => stubChannel(name));
  const buf = cluster.memory(65536);
  const tearDown = async () => {
    desc.close();
    await answering(cluster, names, cluster.bdevs.fini());
    await cluster.close();
  };
  return { cluster, raids, call, list, names, stub, desc, channel, done, cb, buf, tearDown };
}

/** What each of them has under way. */
export const legs = (stub: readonly StubChannel[]) =>
  stub.map(({ outstanding }) => outstanding.map((io) => `${io.type} ${io.byteOffset} ${io.bytes}`));
