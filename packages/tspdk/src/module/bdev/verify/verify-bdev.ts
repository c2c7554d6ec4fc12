/**
 * A disk that does everything on two others, and stops at the first difference between them: for putting a new kind of disk beside one that is known to be right (QEMU's blkverify is the
 * like). From then on every I/O fails with -EIO; what differed is in the log, in bdev_get_bdevs and a notification.
 */
import {
  BaseBdev,
  type BaseRef,
  type BdevLimits,
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
import { SpdkError } from '../../../env/errors.ts';
import { localKey, type Reactor } from '../../../event/reactor.ts';
import { notifyOf } from '../../../notify/index.ts';
import { DIFFERENCE_EVENT, VerifyBackend } from './verify-backend.ts';

export interface VerifyBdevParams {
  readonly name: string;
  readonly base_bdev_name: string;
  readonly mirror_bdev_name: string;
  /** Default: a new one. */
  readonly uuid?: string | undefined;
}

export interface VerifyData {
  readonly base: BaseRef;
  readonly mirror: BaseRef;
}

const TYPES = ioTypes(IO_READ, IO_WRITE, IO_UNMAP, IO_FLUSH, IO_WRITE_ZEROES);
/** By name; on the app core, where these disks live. */
const backends = localKey('bdev_verify', () => new Map<string, VerifyBackend>());

const baseNames = (spec: Pick<BdevSpec, 'data'>) => {
  const { base, mirror } = spec.data as VerifyData;
  return { base_bdev_name: base.name, mirror_bdev_name: mirror.name };
};

/** @param bufBytes of an I/O buffer, through which they are compared */
function checkAlike({ bdev: a }: BaseBdev, { bdev: b }: BaseBdev, bufBytes: number): void {
  if (a.blockSizeBytes > bufBytes) {
    throw new SpdkError(
      'EINVAL',
      `disks to be compared have blocks of up to ${bufBytes} bytes, not ${a.blockSizeBytes}`,
    );
  }
  if (a.blockSizeBytes === b.blockSizeBytes && a.blocks === b.blocks) return;
  const size = ({ name, blocks, blockSizeBytes }: typeof a) =>
    `"${name}" has ${blocks} blocks of ${blockSizeBytes} bytes`;
  throw new SpdkError('EINVAL', `disks to be compared are of one size; ${size(a)}, ${size(b)}`);
}

/** Writes that both take are whole units of each; what one of them would refuse is no difference. */
function limitsOf({ bdev: a }: BaseBdev, { bdev: b }: BaseBdev): Partial<BdevLimits> {
  const [first, other] = [a, b].map(({ limits }) => Math.max(1, limits.writeUnitBlocks));
  let unit = first;
  while (unit % other !== 0) unit += first;
  return unit === 1 ? {} : { writeUnitBlocks: unit, splitOnWriteUnit: true };
}

export const verifyModule: BdevModule<VerifyBdevParams> = registerBdevModule<VerifyBdevParams>({
  name: 'verify',

  create({ name, base_bdev_name, mirror_bdev_name, uuid }: VerifyBdevParams, reactor: Reactor): NewBdev {
    notifyOf(reactor).registerType(DIFFERENCE_EVENT);
    let mirror: BaseBdev | null = null;
    // It grows when both have.
    const onResize = (): void => {
      const blocks = Math.min(base.bdev.blocks, mirror?.bdev.blocks ?? 0);
      const own = reactor.local(bdevManager).byName.get(name);
      if (own === undefined || own.blocks < blocks) bdevRegistry(reactor).follow(name, blocks);
    };
    const base = BaseBdev.open(reactor, base_bdev_name, { onResize });
    try {
      mirror = BaseBdev.open(reactor, mirror_bdev_name, { onResize });
      checkAlike(base, mirror, reactor.iobuf.largeBytes);
    } catch (error) {
      base.close();
      mirror?.close();
      throw error;
    }
    return {
      name,
      uuid,
      productName: 'Verify',
      blockSizeBytes: base.bdev.blockSizeBytes,
      blocks: base.bdev.blocks,
      writable: base.bdev.writable && mirror.bdev.writable,
      ioTypes: base.bdev.ioTypes & mirror.bdev.ioTypes & TYPES,
      volatileCache: base.bdev.volatileCache || mirror.bdev.volatileCache,
      // One core, so that there is one order.
      homeCore: reactor.core,
      bases: [base, mirror],
      limits: limitsOf(base, mirror),
      data: { base: base.ref, mirror: mirror.ref } satisfies VerifyData,
    };
  },

  attach(spec: BdevSpec, reactor: Reactor) {
    const backend = new VerifyBackend(spec, reactor);
    reactor.local(backends).set(spec.name, backend);
    return backend;
  },

  destroy: ({ name }, reactor: Reactor) => void reactor.local(backends).delete(name),
  dumpInfo: (spec: BdevSpec, reactor: Reactor) => ({
    verify: { ...baseNames(spec), difference: reactor.local(backends).get(spec.name)?.difference ?? '' },
  }),
  configCalls: (spec: BdevSpec) => [
    { method: 'bdev_verify_create', params: { name: spec.name, ...baseNames(spec), uuid: spec.uuid } },
  ],
});
