/**
 * A disk that passes everything on to another: the template for disks that stand on disks (SPDK: module/bdev/passthru). Copy this folder, rename, and change what
 * happens in `submit` and in `done`.
 *
 * Where things run. `create` on the app core: opens and claims the base and says what the disk is. `attach` on every reactor: opens the base there, with the claim.
 * `createChannel` on every lightweight thread that uses the disk: a channel of the base goes with it. `submit` and `done` are the data path: one more BdevIo for the
 * base, no other object. Reads and writes do without: `onward` says that they go on as they are, and the layer then does not ask. A disk that looks at them leaves it out.
 */
import { resetBases } from '../../../bdev/base-reset.ts';
import type { BdevIo, BdevIoDone } from '../../../bdev/bdev-io.ts';
import type { BdevChannel } from '../../../bdev/channel.ts';
import { derivedUuid } from '../../../bdev/derived-uuid.ts';
import type { Extents } from '../../../bdev/extents.ts';
import {
  type BackendChannel,
  BaseBdev,
  type BaseRef,
  type BdevBackend,
  type BdevDesc,
  type BdevModule,
  type BdevSpec,
  bdevRegistry,
  type NewBdev,
  type Onward,
  openBase,
  registerBdevModule,
} from '../../../bdev/index.ts';
import type { IoVecs } from '../../../env/iovecs.ts';
import type { Reactor } from '../../../event/reactor.ts';

/** SPDK's BDEV_PASSTHRU_NAMESPACE_UUID. */
const NAMESPACE = '7e25812e-c8c0-4d3f-8599-16d790555b85';

export interface PassthruBdevParams {
  readonly name: string;
  readonly base_bdev_name: string;
  /** Default: one that follows from the base's. */
  readonly uuid?: string | undefined;
}

/** What crosses to every reactor. */
interface PassthruData {
  readonly base: BaseRef;
}

class PassthruChannel implements BackendChannel {
  readonly #base: BdevChannel;
  readonly onward: Onward;

  constructor(base: BdevChannel) {
    this.#base = base;
    this.onward = { base, offsetBytes: 0 };
  }

  submit(io: BdevIo): void {
    const rc = this.#base.forward(io, io.byteOffset, done, io);
    // -ENOMEM too: the layer has it wait and submits it again.
    if (rc !== 0) io.complete(rc);
  }

  abort(io: BdevIo): boolean {
    return this.#base.abort(io) > 0;
  }

  zcopy(byteOffset: number, bytes: number, out: IoVecs, write: boolean): boolean {
    return this.#base.zcopy(byteOffset, bytes, out, write);
  }

  zcopyWritten(byteOffset: number, bytes: number): void {
    this.#base.zcopyWritten(byteOffset, bytes);
  }

  blockStatus(byteOffset: number, bytes: number, out: Extents): number {
    return this.#base.blockStatus(byteOffset, bytes, out);
  }

  reset(cb: BdevIoDone, ctx: unknown): void {
    resetBases([this.#base], cb, ctx);
  }

  close(): void {
    this.#base.close();
  }
}

function done(io: unknown, status: number): void {
  (io as BdevIo).complete(status);
}

class PassthruBackend implements BdevBackend {
  readonly #base: BdevDesc;

  constructor(spec: BdevSpec, reactor: Reactor) {
    this.#base = openBase((spec.data as PassthruData).base, reactor);
  }

  createChannel(): BackendChannel {
    return new PassthruChannel(this.#base.getIoChannel());
  }

  close(): void {
    this.#base.close();
  }
}

/** The app core's part, also for disks that do something to what they pass on. `namespace`: of their uuids; `more` is data of theirs, which crosses with the rest. */
export function newPassthru(
  productName: string,
  namespace: string,
  { name, base_bdev_name, uuid }: PassthruBdevParams,
  reactor: Reactor,
  more: object = {},
): NewBdev {
  const base = BaseBdev.open(reactor, base_bdev_name, {
    metadata: true,
    onResize: ({ blocks }) => bdevRegistry(reactor).follow(name, blocks),
  });
  const { bdev } = base;
  return {
    name,
    uuid: uuid ?? derivedUuid(namespace, bdev.uuid),
    productName,
    blockSizeBytes: bdev.blockSizeBytes,
    blocks: bdev.blocks,
    writable: bdev.writable,
    ioTypes: bdev.ioTypes,
    volatileCache: bdev.volatileCache,
    limits: bdev.limits,
    metadata: bdev.spec.metadata,
    bases: [base],
    data: { ...more, base: base.ref } satisfies PassthruData,
  };
}

/** The part of each reactor. */
export function attachPassthru(spec: BdevSpec, reactor: Reactor): BdevBackend {
  return new PassthruBackend(spec, reactor);
}

/** Its base's name. */
export function baseName(spec: Pick<BdevSpec, 'data'>): string {
  return (spec.data as PassthruData).base.name;
}

export const passthruModule: BdevModule<PassthruBdevParams> = registerBdevModule<PassthruBdevParams>({
  name: 'passthru',

  create: (params: PassthruBdevParams, reactor: Reactor) => newPassthru('passthru', NAMESPACE, params, reactor),
  attach: attachPassthru,
  destroy: () => {},
  dumpInfo: (spec: BdevSpec) => ({ passthru: { name: spec.name, base_bdev_name: baseName(spec) } }),

  configCalls: (spec: BdevSpec) => [
    {
      method: 'bdev_passthru_create',
      params: { name: spec.name, base_bdev_name: baseName(spec), uuid: spec.uuid },
    },
  ],
});
