/** The disks that fail-nth.test.ts works on, each open, with data that is known: one for each way that the layer, or a module of several parts, has of carrying an I/O out. */
import assert from 'node:assert/strict';
import { heldIoBufs } from '../env/iobuf.ts';
import { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import '../module/bdev/logwrites/logwrites-bdev.ts';
import { malloc } from '../module/bdev/malloc/malloc-setup.sim.ts';
import '../module/bdev/passthru/passthru-bdev.ts';
import '../module/bdev/raid/raid-bdev.ts';
import type { RaidBackend } from '../module/bdev/raid/raid-backend.ts';
import { raidLevelOf } from '../module/bdev/raid/raid-level.ts';
import { raidRegistry } from '../module/bdev/raid/raid-registry.ts';
import '../module/bdev/verify/verify-bdev.ts';
import type { Bdev } from './bdev.ts';
import type { BdevChannel } from './channel.ts';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { faultRegistry } from './faults/registry.ts';
import type { FaultInput } from './faults/rule.ts';
import { bdevManager } from './manager.ts';
import { type BackendChannel, registerBdevModule } from './module.ts';
import { EIO } from './status.ts';
import { runIo } from './stub-setup.sim.ts';

const BLOCK = 512;
/** Of each I/O. */
export const BYTES = 65536;
const BLOCKS = (4 * BYTES) / BLOCK;

export type Submit = (cb: (ctx: unknown, status: number) => void) => number;

/** What one kind of disk is. */
export interface DiskKind {
  /** 2: the user is on the other core than what makes disks, where a disk with a home core lives. */
  readonly reactors?: 2;
  /** Makes it. Its name. */
  make(cluster: Cluster): Promise<string>;
  /** The user sees nothing of its metadata. */
  readonly bare?: boolean;
  /** Kinds of I/O that it does not take. */
  readonly lacks?: readonly string[];
  /** What may strike the I/O that is looked at, and no other. */
  readonly faults?: readonly FaultInput[];
  /** One of its members may fail. */
  readonly redundant?: boolean;
  /** An error of what it stands on is for ever. */
  readonly stopsAtErrors?: boolean;
  /** Failures that must find a place on it. */
  readonly must: readonly string[];
}

const memory = async (cluster: Cluster, name: string, more: object = {}): Promise<string> =>
  (await malloc(cluster, name, BLOCKS, more)).name;

const over = async (cluster: Cluster, kind: string, more: object): Promise<string> => {
  const base_bdev_name = await memory(cluster, 'M');
  await cluster.until(cluster.bdevs.create(kind, { name: 'T', base_bdev_name, ...more }));
  return 'T';
};

const raid = (level: string, members: number) => async (cluster: Cluster) => {
  const baseBdevs = Array.from({ length: members }, (_, i) => `M${i}`);
  for (const name of baseBdevs) await memory(cluster, name);
  // An I/O is one stripe.
  const stripSizeKb = level === 'raid1' ? 0 : BYTES / (members - 1) / 1024;
  const params = { name: 'T', level: raidLevelOf(level), stripSizeKb, baseBdevs, superblock: false, uuid: undefined };
  await cluster.until(raidRegistry(cluster.reactors[0]).create(params));
  return 'T';
};

/** Channels of disks that live on one core, made there for everybody else. */
const homeChannels = new Set<BackendChannel>();

/** A disk on another, on its home core alone. */
registerBdevModule<{ readonly name: string; readonly base_bdev_name: string }>({
  name: 'far',
  create({ name, base_bdev_name }, reactor) {
    const { ioTypes, blocks, blockSizeBytes } = reactor.local(bdevManager).get(base_bdev_name);
    const data = { base: base_bdev_name };
    return { name, productName: 'Far', blockSizeBytes, blocks, ioTypes, homeCore: reactor.core, data };
  },
  attach(spec, reactor) {
    const { base } = spec.data as { base: string };
    const desc = BdevDesc.open(base, { write: true, reactor, onEvent: () => {} });
    const createChannel = (): BackendChannel => {
      const below = desc.getIoChannel();
      const channel: BackendChannel = {
        submit(io) {
          const rc = below.forward(io, io.byteOffset, (_, status) => io.complete(status), null);
          if (rc !== 0) io.complete(rc);
        },
        close() {
          homeChannels.delete(channel);
          below.close();
        },
      };
      homeChannels.add(channel);
      return channel;
    };
    return { createChannel, close: () => desc.close() };
  },
  destroy: () => {},
  configCalls: () => [],
});

const protectedFormat = { md_size: 8, dif_type: 1 };
const faulty = (...faults: FaultInput[]) => ({ make: (cluster: Cluster) => over(cluster, 'passthru', {}), faults });
const bare = { bare: true, lacks: ['compare', 'compare-and-write', 'copy'] };

export const diskKinds: Record<string, DiskKind> = {
  'passthru on memory': {
    make: (cluster) => over(cluster, 'passthru', {}),
    must: ['no BdevIo', 'no buffer', 'no room in the shared heap', 'a module that fails'],
  },
  'metadata in the blocks': {
    make: (cluster) => memory(cluster, 'M', { ...protectedFormat, md_interleave: true }),
    ...bare,
    must: ['no BdevIo', 'no buffer', 'a module that fails'],
  },
  'metadata apart': {
    make: (cluster) => memory(cluster, 'M', { ...protectedFormat, md_interleave: false }),
    ...bare,
    must: ['no BdevIo', 'no buffer', 'a module that fails'],
  },
  'a fault that corrupts': {
    ...faulty({ op: 'write', action: 'corrupt', corrupt_offset: 1500 }, { op: 'read', action: 'corrupt' }),
    must: ['no BdevIo', 'a module that fails'],
  },
  'a fault that delays': {
    ...faulty({ op: 'all', action: 'delay', delay_us: 5, stage: 'completion' }),
    must: ['no BdevIo', 'a module that fails'],
  },
  'a torn write': {
    ...faulty({ op: 'write', action: 'torn', torn_blocks: 3 }),
    must: ['no BdevIo', 'a module that fails'],
  },
  'a disk on another core': {
    reactors: 2,
    make: (cluster) => over(cluster, 'far', {}),
    must: ['no BdevIo', 'no buffer', 'no room in the shared heap', 'a module without memory', 'a module that throws'],
  },
  'verify, from another core': {
    reactors: 2,
    make: async (cluster) => over(cluster, 'verify', { mirror_bdev_name: await memory(cluster, 'Mirror') }),
    stopsAtErrors: true,
    must: ['no BdevIo', 'no buffer', 'no room in the shared heap', 'a module without memory'],
  },
  'logwrites, from another core': {
    reactors: 2,
    make: async (cluster) =>
      over(cluster, 'logwrites', { log_bdev_name: await memory(cluster, 'Log', { num_blocks: 8 * BLOCKS }) }),
    stopsAtErrors: true,
    must: ['no BdevIo', 'no buffer', 'no room in the shared heap', 'a module without memory'],
  },
  raid1: {
    make: raid('raid1', 2),
    redundant: true,
    must: ['no BdevIo', 'no room in the shared heap', 'a module that fails', 'a module that throws'],
  },
  raid5f: {
    make: raid('raid5f', 3),
    redundant: true,
    lacks: ['unmap'],
    must: ['no BdevIo', 'no parity buffer', 'a module without memory', 'a module that fails', 'a module that throws'],
  },
};

/** A disk, open on its user's core. */
export class World {
  readonly cluster: Cluster;
  readonly kind: DiskKind;
  readonly bdev: Bdev;
  readonly channel: BdevChannel;
  /** Ones, which the disk's start holds as well; and as much memory behind. */
  readonly equal = new IoVecs(2);
  readonly other = new IoVecs(2);
  readonly #core: number;
  readonly #desc: BdevDesc;
  readonly #memory: Segment;

  private constructor(cluster: Cluster, kind: DiskKind, name: string) {
    this.cluster = cluster;
    this.kind = kind;
    this.#core = cluster.reactors.length - 1;
    const options = { write: true, hideMetadata: kind.bare === true, onEvent: () => {} };
    this.#desc = cluster.on(this.#core, () => BdevDesc.open(name, options));
    this.bdev = this.#desc.bdev;
    this.channel = cluster.on(this.#core, () => this.#desc.getIoChannel());
    this.#memory = cluster.memory(2 * BYTES);
    this.#memory.u8.fill(1, 0, BYTES);
    for (const [iovs, at] of [
      [this.equal, 0],
      [this.other, BYTES],
    ] as const) {
      iovs.push(this.#memory, at, 1000);
      iovs.push(this.#memory, at + 1000, BYTES - 1000);
    }
  }

  static async start(kind: DiskKind): Promise<World> {
    // Little memory: there are a thousand of them, one after the other.
    const memory = { heapBytes: 1 << 20, iobuf: { smallCount: 32, largeCount: 32 } };
    const cluster = await startCluster({ reactors: kind.reactors ?? 1, ...memory });
    const world = new World(cluster, kind, await kind.make(cluster));
    await world.works('at first');
    for (const fault of kind.faults ?? []) {
      await cluster.until(faultRegistry(cluster.reactors[0]).add(world.bdev.name, fault));
    }
    return world;
  }

  /** Nothing is to go wrong any more. */
  heal(): Promise<void> {
    return this.cluster.until(faultRegistry(this.cluster.reactors[0]).clear(this.bdev.name));
  }

  run(start: Submit): Promise<number> {
    return runIo(this.cluster, (cb) => this.cluster.on(this.#core, () => start(cb)));
  }

  /** Where I/O goes to modules, and of which disk. */
  get backends(): { readonly name: string; readonly backend: BackendChannel }[] {
    const all = this.cluster.reactors.flatMap((reactor) => [...reactor.local(bdevManager).byId.values()]);
    const backends = all.flatMap((bdev) => [...bdev.channels].map(({ backend }) => ({ name: bdev.name, backend })));
    for (const backend of homeChannels) backends.push({ name: this.bdev.name, backend });
    return backends;
  }

  /** The RAID disk's, whose buffers are for parity. */
  get raidBackends(): RaidBackend[] {
    return this.bdev.moduleName === 'raid' ? [this.bdev.backend as RaidBackend] : [];
  }

  /** No member has been dropped. */
  get whole(): boolean {
    if (this.bdev.moduleName !== 'raid') return true;
    return raidRegistry(this.cluster.reactors[0])
      .get(this.bdev.name)
      .slots.every(({ good }) => good);
  }

  /** What the I/O ends with when a module of `disk` has failed. */
  errorOf(disk: string): number {
    return this.kind.redundant === true && disk !== this.bdev.name ? 0 : EIO;
  }

  /** What is written is read, whatever has been. */
  async works(when: string): Promise<void> {
    assert.equal(await this.run((cb) => this.channel.writev(this.equal, 0, cb, null)), 0, `${when}: a write`);
    this.#memory.u8.fill(0, BYTES);
    assert.equal(await this.run((cb) => this.channel.readv(this.other, 0, cb, null)), 0, `${when}: a read`);
    const [wanted, got] = [this.#memory.u8.subarray(0, BYTES), this.#memory.u8.subarray(BYTES)];
    assert.equal(Buffer.compare(wanted, got), 0, `${when}: what was read`);
  }

  /** Nothing is held any more: not at once, since what is left of a failure is done in the background. */
  async heldNothing(when: string): Promise<void> {
    const pools = this.cluster.reactors.map((reactor) => reactor.local(bdevManager).pool);
    const buffers = () => heldIoBufs(this.cluster.reactors[0].fabric.iobuf);
    for (let i = 0; i < 1000 && (pools.some(({ used }) => used > 0) || buffers().length > 0); i++) {
      this.cluster.round();
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const { used } of pools) assert.equal(used, 0, `${when}: a BdevIo is held`);
    assert.deepEqual(buffers(), [], `${when}: a buffer is held`);
    for (const backend of this.raidBackends) {
      const taken: number[] = [];
      for (let at = backend.takeBuffer(); at >= 0; at = backend.takeBuffer()) taken.push(at);
      for (const at of taken) backend.giveBuffer(at);
      if (this.kind.must.includes('no parity buffer'))
        assert.equal(taken.length, 32, `${when}: a parity buffer is held`);
    }
  }

  async close(): Promise<void> {
    this.#desc.close();
    await this.cluster.close();
  }
}
