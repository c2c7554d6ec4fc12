/**
 * Power cuts: members are parts of one disk whose writes are logged, so that there is one order of all that reached any of them; every prefix of the log is a moment at which the
 * power may have gone. Each block that is written holds the number of its write, so that what is found says which writes survived.
 */
import assert from 'node:assert/strict';
import type { Bdev } from '../../../bdev/bdev.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import type { Cluster } from '../../../bdev/cluster.sim.ts';
import { type BackendChannel, BdevDesc, type BdevIo, faultRegistry, registerBdevModule } from '../../../bdev/index.ts';
import { channelOf, open } from '../../../bdev/stub-setup.sim.ts';
import { Random } from '../../../env/random.ts';
import type { Segment } from '../../../env/segment.ts';
import { LOG_FLUSH_FLAG, LOG_FUA_FLAG, LOG_MARK_FLAG } from '../logwrites/log-format.ts';
import { LogReader, logInMemory } from '../logwrites/log-replay.ts';
import { markLogWrites } from '../logwrites/logwrites-bdev.ts';
import { malloc } from '../malloc/malloc-setup.sim.ts';
import type { RaidDisk } from './raid-disk.ts';
import { examineRaidMember, raidRegistry } from './raid-registry.ts';
import { allGood, setUpRaid } from './raid-setup.sim.ts';

export const BLOCK = 512;
/** Before the data of a member. */
const HEAD = 2048;
/** Where the data of a member begins. */
const DATA_AT = HEAD * BLOCK;
/** Of the head, what superblocks take. */
const SB_BYTES = 4096;

interface SliceParams {
  readonly name: string;
  readonly base: string;
  readonly firstBlock: number;
  readonly blocks: number;
  readonly uuid: string;
}

/** A part of a disk, which is not claimed: the others are on it, too. */
class SliceChannel implements BackendChannel {
  readonly #base: BdevChannel;
  readonly #offset: number;

  constructor(base: BdevChannel, offset: number) {
    this.#base = base;
    this.#offset = offset;
  }

  submit(io: BdevIo): void {
    const rc = this.#base.forward(io, io.byteOffset + this.#offset, (_, status) => io.complete(status), null);
    if (rc !== 0) io.complete(rc);
  }

  close(): void {
    this.#base.close();
  }
}

registerBdevModule<SliceParams>({
  name: 'slice',
  create({ name, base, firstBlock, blocks, uuid }, reactor) {
    const desc = BdevDesc.open(base, { write: false, reactor, onEvent: () => {} });
    const { ioTypes } = desc.bdev;
    desc.close();
    return {
      name,
      uuid,
      productName: 'Slice',
      blockSizeBytes: BLOCK,
      blocks,
      volatileCache: true,
      ioTypes,
      data: { base, offset: firstBlock * BLOCK },
    };
  },
  attach(spec, reactor) {
    const { base, offset } = spec.data as { base: string; offset: number };
    const desc = BdevDesc.open(base, { write: true, reactor, onEvent: () => {} });
    return {
      createChannel: () => new SliceChannel(desc.getIoChannel(), offset),
      close: () => desc.close(),
    };
  },
  destroy: () => {},
  configCalls: () => [],
});

const memoryOf = (bdev: Bdev): Segment =>
  bdev.manager.reactor.segments.get((bdev.spec.data as { segments: number[] }).segments[0]);

const uuidOf = (member: number) => `00000000-0000-4000-9000-00000000000${member}`;

/** What is on the disk for certain from a mark of the log on: by block, the number of its last write that was acknowledged before a flush. */
interface Durable {
  readonly label: string;
  readonly ids: Uint32Array;
  /** The number of the next write. */
  readonly nextId: number;
}

/** A RAID disk on logged slices, and what its user knows. */
export class PowerRun {
  readonly cluster: Cluster;
  readonly members: number;
  readonly memberBlocks: number;
  readonly blocks: number;
  /** What is written at once is a multiple of so many blocks. */
  readonly unit: number;
  readonly random: Random;
  readonly durable: Durable[] = [];
  /** By write, its first block and how many; number 0 is what was there before. */
  readonly writes: { readonly first: number; readonly blocks: number }[] = [{ first: 0, blocks: 1 << 20 }];
  readonly #acked: Uint32Array;
  readonly #buf: Segment;

  private constructor(cluster: Cluster, members: number, dataBlocks: number, seed: number) {
    this.cluster = cluster;
    this.members = members;
    this.memberBlocks = HEAD + dataBlocks;
    const { blocks, limits } = cluster.bdevs.get('R');
    this.unit = Math.max(1, limits.writeUnitBlocks);
    this.blocks = blocks;
    this.random = new Random(seed);
    this.#acked = new Uint32Array(this.blocks);
    this.#buf = cluster.memory(this.blocks * BLOCK);
  }

  static async start(
    cluster: Cluster,
    create: (names: string[]) => Promise<unknown>,
    members: number,
    dataBlocks: number,
    seed: number,
  ): Promise<PowerRun> {
    const memberBlocks = HEAD + dataBlocks;
    await malloc(cluster, 'Whole', members * memberBlocks);
    await malloc(cluster, 'Log', 65536);
    const params = { name: 'W', base_bdev_name: 'Whole', log_bdev_name: 'Log' };
    await cluster.until(cluster.bdevs.create('logwrites', params as never));
    const names: string[] = [];
    for (let i = 0; i < members; i++) {
      await PowerRun.#slice(cluster, i, memberBlocks);
      names.push(`S${i}`);
    }
    await cluster.until(cluster.bdevs.waitForExamine());
    await create(names);
    const run = new PowerRun(cluster, members, dataBlocks, seed);
    await run.mark();
    return run;
  }

  static #slice(cluster: Cluster, member: number, blocks: number): Promise<unknown> {
    const params = { name: `S${member}`, base: 'W', firstBlock: member * blocks, blocks, uuid: uuidOf(member) };
    return cluster.until(cluster.bdevs.create('slice', params as never));
  }

  /** Some writes at once, on ranges that do not overlap. */
  async write(count: number): Promise<void> {
    const desc = open(this.cluster, 'R');
    const channel = channelOf(this.cluster, desc);
    const units = this.blocks / this.unit;
    const busy = new Set<number>();
    let left = 0;
    for (let i = 0; i < count; i++) {
      const unit = this.random.int(units);
      const length = 1 + this.random.int(Math.min(3, units - unit));
      const range = Array.from({ length }, (_, k) => unit + k);
      if (range.some((each) => busy.has(each))) continue;
      for (const each of range) busy.add(each);
      const [first, blocks] = [unit * this.unit, length * this.unit];
      const id = this.writes.push({ first, blocks }) - 1;
      this.#buf.i32.fill(id, (first * BLOCK) / 4, ((first + blocks) * BLOCK) / 4);
      left++;
      const done = (_: unknown, status: number): void => {
        assert.equal(status, 0);
        this.#acked.fill(id, first, first + blocks);
        left--;
      };
      assert.equal(channel.write(this.#buf, first * BLOCK, first * BLOCK, blocks * BLOCK, done, null), 0);
    }
    await this.cluster.untilTrue(() => left === 0);
    desc.close();
  }

  /** Flushes; what had been acknowledged is durable from here on. */
  async flush(): Promise<void> {
    const desc = open(this.cluster, 'R');
    const channel = channelOf(this.cluster, desc);
    const done: number[] = [];
    assert.equal(
      channel.flush(0, desc.bdev.sizeBytes, (_, status) => void done.push(status), null),
      0,
    );
    await this.cluster.untilTrue(() => done.length > 0);
    assert.deepEqual(done, [0]);
    desc.close();
    await this.mark();
  }

  async mark(): Promise<void> {
    const label = `durable ${this.durable.length}`;
    this.durable.push({ label, ids: this.#acked.slice(), nextId: this.writes.length });
    await this.cluster.until(markLogWrites(this.cluster.reactors[0], 'W', label));
  }

  /** The next write of a member fails. */
  failNextWrite(member: number): Promise<unknown> {
    const rule = { op: 'write', action: 'error', errno: 'EIO', count: 1 } as const;
    return this.cluster.until(faultRegistry(this.cluster.reactors[0]).add(`S${member}`, rule));
  }

  async pull(member: number): Promise<void> {
    await this.cluster.until(this.cluster.bdevs.delete(`S${member}`));
  }

  async plug(member: number): Promise<void> {
    await PowerRun.#slice(this.cluster, member, this.memberBlocks);
    await this.cluster.until(this.cluster.bdevs.waitForExamine());
  }

  get raid() {
    return raidRegistry(this.cluster.reactors[0]).get('R');
  }

  /** The log as bytes. The disks are gone afterwards. */
  async end(): Promise<Uint8Array> {
    await this.flush();
    const log = Uint8Array.from(memoryOf(this.cluster.bdevs.get('Log')).u8);
    this.cluster.forget(this.#buf);
    await this.cluster.close();
    return log;
  }
}

/** The raid that `disks`, looked at in this order, assemble to after a power cut, if there is one: none need be while it is being made. */
export async function assemble(cluster: Cluster, disks: readonly Bdev[], point: CrashPoint): Promise<RaidDisk | null> {
  const raids = raidRegistry(cluster.reactors[0]);
  await cluster.until(Promise.all(disks.map((bdev) => examineRaidMember(bdev, cluster.reactors[0]))));
  const [raid = null] = raids.list('online');
  if (raid !== null) return raid;
  assert.ok(!point.made, `${point.at}: it assembles`);
  for (const { params } of raids.list()) await cluster.until(raids.delete(params.name));
  return null;
}

/** Writes, a member that fails, one that is pulled and comes back, rebuilds under load: what the power is cut in. */
export async function powerWorkload(
  level: string,
  seed: number,
  members: number,
  dataBlocks: number,
): Promise<{ run: PowerRun; log: Uint8Array }> {
  const { cluster, create, raids } = await setUpRaid();
  raids.options.process_window_size_kb = 1;
  const strips = level === 'raid1' ? {} : { strip_size_kb: 1 };
  const make = (names: string[]) => create(level, names, { superblock: true, ...strips });
  const run = await PowerRun.start(cluster, make, members, dataBlocks, seed);
  const { random } = run;
  const some = async (rounds: number): Promise<void> => {
    for (let i = 0; i < rounds; i++) {
      await run.write(1 + random.int(4));
      if (random.chance(0.4)) await run.flush();
    }
  };
  for (let turn = 0; turn < 3; turn++) {
    await some(6);
    const victim = random.int(members);
    if (random.chance(0.5)) {
      await run.failNextWrite(victim);
      await run.write(4);
      // From here on the member that lacks it must not be read, whenever the power goes.
      await run.flush();
      if (run.raid.slots[victim].base !== null) await run.pull(victim);
      else await run.pull(victim).catch(() => {});
    } else await run.pull(victim);
    await cluster.untilTrue(() => run.raid.slots[victim].base === null);
    await some(6);
    await run.plug(victim);
    await some(4);
    await allGood(cluster);
    await some(3);
  }
  return { run, log: await run.end() };
}

interface Write {
  readonly offset: number;
  readonly data: Uint8Array;
  readonly fua: boolean;
}

/** How a power cut treats what was written since the last flush: all of it is there, or some blocks of it, but what was written through the cache. */
export type Cut = 'prefix' | 'cache lost';

/** What a power cut has left, and what must be found in it. */
export interface CrashPoint {
  /** The raid had been made. */
  readonly made: boolean;
  /** Of each member. */
  readonly bytes: readonly Uint8Array[];
  /** By block, the number of the last durable write. */
  readonly ids: Uint32Array;
  /** By block, 1 when nobody has begun to write to it since. */
  readonly quiet: Uint8Array;
  readonly at: string;
}

/** The disks as they are after a power cut, once more in a machine that runs. */
export class AfterPower {
  readonly #cluster: Cluster;
  readonly #run: PowerRun;
  readonly #random: Random;
  readonly #whole: Uint8Array;
  #pending: Write[] = [];
  #durable = 0;
  /** Crash points that were looked at. */
  points = 0;

  constructor(cluster: Cluster, run: PowerRun, seed: number) {
    this.#cluster = cluster;
    this.#run = run;
    this.#random = new Random(seed);
    this.#whole = new Uint8Array(run.members * run.memberBlocks * BLOCK);
  }

  static async start(cluster: Cluster, run: PowerRun, seed: number): Promise<AfterPower> {
    for (let i = 0; i < run.members; i++) await malloc(cluster, `I${i}`, run.memberBlocks, { uuid: uuidOf(i) });
    await cluster.until(cluster.bdevs.waitForExamine());
    return new AfterPower(cluster, run, seed);
  }

  /** Goes through the log, and cuts the power after each entry, marks included. */
  async replay(log: Uint8Array, look: (point: CrashPoint) => Promise<void>) {
    const reader = new LogReader(logInMemory(log));
    let made = false;
    let quiet = this.#quiet();
    while (reader.next()) {
      const { entry } = reader;
      if (entry.has(LOG_MARK_FLAG)) {
        const at = this.#run.durable.findIndex(({ label }) => label === reader.label);
        assert.ok(at >= 0, reader.label);
        this.#durable = at;
        quiet = this.#quiet();
        // A moment as others are: nothing was written, but more was promised.
        made = true;
      } else if (entry.has(LOG_FLUSH_FLAG)) this.#settle();
      else this.#take(reader);
      this.points++;
      for (const cut of ['prefix', 'cache lost'] as const) {
        this.#restore(cut);
        const at = `after entry ${reader.index}, ${cut}`;
        await look({ made, bytes: this.#members(), ids: this.#run.durable[this.#durable].ids, quiet, at });
      }
    }
    assert.equal(reader.torn, null);
    assert.equal(this.#durable, this.#run.durable.length - 1);
  }

  /** Between the mark that was met last and the next. */
  #quiet(): Uint8Array {
    const { blocks, durable, writes } = this.#run;
    const quiet = new Uint8Array(blocks).fill(1);
    const until = durable[this.#durable + 1]?.nextId ?? writes.length;
    for (let id = durable[this.#durable].nextId; id < until; id++) {
      quiet.fill(0, writes[id].first, writes[id].first + writes[id].blocks);
    }
    return quiet;
  }

  #take(reader: LogReader): void {
    reader.applyTo({
      sizeBytes: this.#whole.length,
      write: (offset, data) => this.#pending.push({ offset, data: data.slice(), fua: reader.entry.has(LOG_FUA_FLAG) }),
      zero: () => assert.fail('nothing is discarded'),
    });
  }

  #settle(): void {
    for (const { offset, data } of this.#pending) this.#whole.set(data, offset);
    this.#pending = [];
  }

  #members(): Uint8Array[] {
    return Array.from({ length: this.#run.members }, (_, i) => memoryOf(this.#cluster.bdevs.get(`I${i}`)).u8);
  }

  /** Puts on the disks what a power cut now leaves. */
  #restore(cut: Cut): void {
    const memberBytes = this.#run.memberBlocks * BLOCK;
    const members = this.#members();
    const copy = (from: number, to: number): void => {
      for (const [i, bytes] of members.entries()) {
        bytes.set(this.#whole.subarray(i * memberBytes + from, i * memberBytes + to), from);
      }
    };
    copy(0, SB_BYTES);
    copy(HEAD * BLOCK, memberBytes);
    for (const { offset, data, fua } of this.#pending) {
      const member = Math.floor(offset / memberBytes);
      const to = offset - member * memberBytes;
      for (let at = 0; at < data.length; at += BLOCK) {
        if (cut === 'cache lost' && !fua && this.#random.chance(0.5)) continue;
        members[member].set(data.subarray(at, at + BLOCK), to + at);
      }
    }
  }

  /** The number that block `block` of a member's data, or of `bytes` that begin with it, is full of. */
  idAt(bytes: Uint8Array, block: number, what: string, from = DATA_AT): number {
    const at = from + block * BLOCK;
    // All bytes are those of the number before: so each is that of the first.
    if (Buffer.compare(bytes.subarray(at, at + BLOCK - 4), bytes.subarray(at + 4, at + BLOCK)) !== 0) {
      assert.fail(`${what}: block ${block} is torn`);
    }
    return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
  }

  /** Block `block` holds write `id`, which is the last durable one of `ids` or a later one. */
  check(block: number, id: number, ids: Uint32Array, what: string): void {
    const write = this.#run.writes[id];
    assert.ok(
      write !== undefined && block >= write.first && block < write.first + write.blocks,
      `${what}: block ${block} holds write ${id}, which went elsewhere`,
    );
    assert.ok(id >= ids[block], `${what}: block ${block} holds write ${id}, older than ${ids[block]}`);
  }
}
