/**
 * A disk that is an image of a Ceph cluster, through librbd (SPDK: module/bdev/rbd).
 *
 * The image is open once, and its I/O lives on one core (`homeCore`), to which the other cores' is carried. A handle for each reactor would be wrong, not
 * only slow: each has a cache of its own, so one core would read what another has already overwritten, and the image's exclusive lock would go to and fro
 * between them with every write. And the queue of finished I/O belongs to the handle, so one core must empty it. What may block runs on the connection's own
 * thread: control-thread.ts.
 *
 * What is on stable storage, and when: a completed write may be in librbd's cache, in this process. A flush writes it back: when it completes, all writes
 * that had completed before are with the cluster, on as many OSDs as the pool wants. A write or write-zeroes with FUA is followed by a flush. The disk says that it has a volatile cache.
 */
import {
  type BdevModule,
  type BdevSpec,
  bdevRegistry,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  ioTypes,
  type NewBdev,
  registerBdevModule,
} from '../../../bdev/index.ts';
import { bdevManager } from '../../../bdev/manager.ts';
import { explain, SpdkError } from '../../../env/errors.ts';
import { localKey, type Reactor } from '../../../event/reactor.ts';
import { log } from '../../../log/index.ts';
import { openLibrbdData } from './librbd.ts';
import { RBD_IOVECS_MAX, RbdBackend } from './rbd-channel.ts';
import { cephOptions, rbdClusters } from './rbd-clusters.ts';
import { coresForCeph, RbdConnection } from './rbd-connection.ts';

const rbdLog = log.register('bdev_rbd');

/** Of bdev_rbd_create. */
export interface RbdBdevParams {
  /** Default: Ceph and the first free number. */
  readonly name?: string | undefined;
  readonly user_id?: string | undefined;
  readonly pool_name: string;
  readonly rbd_name: string;
  readonly block_size: number;
  readonly config?: Record<string, unknown> | undefined;
  readonly cluster_name?: string | undefined;
  readonly uuid?: string | undefined;
  readonly read_only?: boolean | undefined;
}

interface RbdData {
  readonly params: RbdBdevParams;
  /** rbd_image_t. */
  readonly image: number;
}

/** Default names in use, from before the registry knows them: to connect takes a while, and others ask for a name meanwhile. */
const defaultNames = localKey('bdev_rbd_names', () => new Set<string>());

/** The connection of each open image, by image. */
const connections = localKey('bdev_rbd_images', () => new Map<number, RbdConnection>());

/** The core with the fewest RBD disks; of several the last, which leaves the app core to control. */
function homeFor(reactor: Reactor): number {
  const disks = bdevRegistry(reactor)
    .list()
    .filter(({ moduleName }) => moduleName === 'rbd');
  let home = reactor.core;
  let least = Number.POSITIVE_INFINITY;
  for (const core of reactor.cores) {
    const count = disks.filter(({ homeCore }) => homeCore === core).length;
    if (count > least) continue;
    home = core;
    least = count;
  }
  return home;
}

async function connect(params: RbdBdevParams, reactor: Reactor): Promise<RbdConnection> {
  if (params.cluster_name !== undefined) return rbdClusters(reactor).take(params.cluster_name);
  return RbdConnection.open({
    userId: params.user_id,
    config: cephOptions(params.config),
    configFile: undefined,
    keyFile: undefined,
    cores: coresForCeph(undefined, reactor),
  });
}

async function disconnect(params: RbdBdevParams, connection: RbdConnection, reactor: Reactor): Promise<void> {
  if (params.cluster_name !== undefined) rbdClusters(reactor).put(params.cluster_name);
  else await connection.close();
}

/** Ceph and the first free number, taken until `destroy`. */
function takeDefaultName(reactor: Reactor): string {
  const registry = bdevRegistry(reactor);
  const taken = reactor.local(defaultNames);
  let number = 0;
  while (taken.has(`Ceph${number}`) || registry.has(`Ceph${number}`)) number++;
  taken.add(`Ceph${number}`);
  return `Ceph${number}`;
}

async function create(params: RbdBdevParams, reactor: Reactor): Promise<NewBdev> {
  if (params.name !== undefined) return createNamed(params.name, params, reactor);
  const name = takeDefaultName(reactor);
  try {
    return await createNamed(name, params, reactor);
  } catch (error) {
    reactor.local(defaultNames).delete(name);
    throw error;
  }
}

async function createNamed(name: string, params: RbdBdevParams, reactor: Reactor): Promise<NewBdev> {
  const { pool_name, rbd_name, block_size, read_only = false } = params;
  if (!(block_size >= 512 && (block_size & (block_size - 1)) === 0)) {
    throw new SpdkError('EINVAL', `bdev "${name}": block size ${block_size} is not a power of two from 512 on`);
  }
  if (params.cluster_name !== undefined && (params.user_id !== undefined || params.config !== undefined)) {
    throw new SpdkError('EINVAL', `bdev "${name}": user_id and config are those of cluster "${params.cluster_name}"`);
  }
  const connection = await connect(params, reactor);
  try {
    const { image, sizeBytes, objectBytes } = await connection.openImage(pool_name, rbd_name, read_only);
    const blocks = Math.floor(sizeBytes / block_size);
    if (blocks === 0) {
      await connection.closeImage(image);
      throw new SpdkError(
        'EINVAL',
        `bdev "${name}": image "${pool_name}/${rbd_name}" of ${sizeBytes} bytes has no block`,
      );
    }
    if (sizeBytes % block_size !== 0) {
      rbdLog.warn(`bdev "${name}": the last ${sizeBytes % block_size} bytes of its image are not part of it`);
    }
    reactor.local(connections).set(image, connection);
    connection.onResize.set(image, (bytes) => void follow(reactor, name, Math.floor(bytes / block_size)));
    return {
      name,
      uuid: params.uuid,
      productName: 'Ceph Rbd Disk',
      blockSizeBytes: block_size,
      blocks,
      writable: !read_only,
      volatileCache: !read_only,
      homeCore: homeFor(reactor),
      ioTypes: read_only ? ioTypes(IO_READ, IO_FLUSH) : ioTypes(IO_READ, IO_WRITE, IO_FLUSH, IO_UNMAP, IO_WRITE_ZEROES),
      // An I/O within one object is one request to one OSD.
      limits: { optimalIoBoundaryBlocks: Math.floor(objectBytes / block_size), maxSegments: RBD_IOVECS_MAX },
      data: { params: { ...params, name }, image } satisfies RbdData,
    };
  } catch (error) {
    await disconnect(params, connection, reactor);
    throw error;
  }
}

/** Somebody else has resized the image: the disk follows when it can. */
async function follow(reactor: Reactor, name: string, blocks: number): Promise<void> {
  const registry = bdevRegistry(reactor);
  try {
    // It may still be made, as when its image is resized meanwhile.
    if (reactor.local(bdevManager).byName.get(name)?.blocks === blocks) return;
    await registry.resize(name, blocks);
    rbdLog.notice(`bdev "${name}": resized to ${blocks} blocks`);
  } catch (error) {
    rbdLog.warn(
      `bdev "${name}": its image has now ${blocks} blocks, which the disk cannot take over: ${explain(error)}`,
    );
  }
}

async function destroy(spec: Pick<BdevSpec, 'name' | 'data'>, reactor: Reactor): Promise<void> {
  const { image, params } = spec.data as RbdData;
  const images = reactor.local(connections);
  const connection = images.get(image) as RbdConnection;
  images.delete(image);
  reactor.local(defaultNames).delete(spec.name);
  try {
    // The handle is gone even if closing failed, as with a cluster that does not answer.
    await connection.closeImage(image).finally(() => disconnect(params, connection, reactor));
  } catch (error) {
    rbdLog.error(`bdev "${spec.name}": ${explain(error)}`);
  }
}

export const rbdModule: BdevModule<RbdBdevParams> = registerBdevModule<RbdBdevParams>({
  name: 'rbd',
  create,
  attach: (spec: BdevSpec, reactor: Reactor) => new RbdBackend((spec.data as RbdData).image, openLibrbdData(), reactor),
  destroy,

  dumpInfo: (spec: BdevSpec) => {
    const { pool_name, rbd_name, cluster_name, user_id, config } = (spec.data as RbdData).params;
    return { rbd: { pool_name, rbd_name, ...(cluster_name === undefined ? { user_id, config } : { cluster_name }) } };
  },

  configCalls: (spec: BdevSpec) => {
    const { params } = spec.data as RbdData;
    return [{ method: 'bdev_rbd_create', params: { ...params, uuid: spec.uuid } }];
  },
});

const MIB = 1024 * 1024;

/**
 * Gives the image of the disk `name` a larger size, in MiB as SPDK has it, and the disk with it. App core.
 * @throws {SpdkError} ENODEV when it is no RBD disk; EINVAL when it would not grow; what the cluster answers
 */
export async function resizeRbd(reactor: Reactor, name: string, sizeMib: number): Promise<void> {
  const registry = bdevRegistry(reactor);
  const bdev = registry.get(name);
  if (bdev.moduleName !== 'rbd')
    throw new SpdkError('ENODEV', `bdev "${name}" is of module ${bdev.moduleName}, not rbd`);
  const sizeBytes = sizeMib * MIB;
  if (!(sizeBytes > bdev.sizeBytes && Number.isSafeInteger(sizeBytes))) {
    throw new SpdkError('EINVAL', `bdev "${name}": ${sizeMib} MiB is not more than its ${bdev.sizeBytes} bytes`);
  }
  const { image } = bdev.spec.data as RbdData;
  const connection = reactor.local(connections).get(image) as RbdConnection;
  const bytes = await connection.resizeImage(image, sizeBytes);
  await registry.resize(name, Math.floor(bytes / bdev.blockSizeBytes));
}
