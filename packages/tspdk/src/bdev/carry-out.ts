/** How the layer carries out what a disk does not take as it is: in pieces, through memory of its own, or by other types. */
import { AlignedIo } from './aligned-io.ts';
import type { BdevIo } from './bdev-io.ts';
import { CompareIo } from './compare.ts';
import { CopyIo } from './copy.ts';
import { ZeroWriter } from './emulate.ts';
import { IO_COMPARE, IO_COMPARE_AND_WRITE, IO_COPY, IO_READ, IO_WRITE, IO_WRITE_ZEROES } from './io-type.ts';
import type { LayerIo } from './layer-io.ts';
import { type BdevSpec, unitBlocks } from './module.ts';
import { ProtectedIo } from './protected-io.ts';
import { SplitIo } from './split.ts';
import { ECANCELED } from './status.ts';
import type { ThreadChannel } from './thread-channel.ts';

/**
 * Types that the layer adds to what the module of `spec` takes. Blocks with metadata can be neither copied nor zeroed without knowing what it means; and what is compared or copied goes through a
 * buffer of `bufBytes`, which has to hold a block, or a write unit.
 */
export function emulatedTypes({ ioTypes: own, metadata, limits, blockSizeBytes }: BdevSpec, bufBytes: number): number {
  const reads = (own & (1 << IO_READ)) !== 0;
  const writes = (own & (1 << IO_WRITE)) !== 0;
  let types = 0;
  if (reads && blockSizeBytes <= bufBytes) types |= 1 << IO_COMPARE;
  if (reads && writes && blockSizeBytes <= bufBytes) types |= 1 << IO_COMPARE_AND_WRITE;
  if (metadata !== null) return types;
  if (writes) types |= 1 << IO_WRITE_ZEROES;
  if (reads && writes && unitBlocks(limits) * blockSizeBytes <= bufBytes) types |= 1 << IO_COPY;
  return types;
}

/** Data path. `io` has passed the gates, and the module does not have its type, or wants it in pieces. */
export function carryOut(channel: ThreadChannel, io: BdevIo): void {
  const { bdev, manager } = channel;
  if (channel.resetting > 0) {
    channel.fail(io, ECANCELED);
    return;
  }
  const own = (bdev.moduleIoTypes & (1 << io.type)) !== 0;
  if (bdev.metadata?.concerns(io) === true) {
    new ProtectedIo().begin(channel, io);
    return;
  }
  if (!own) emulation(io.type).begin(channel, io);
  else if (bdev.split.inPieces(io) && !bdev.split.isScattered(io))
    (manager.splits.pop() ?? new SplitIo()).begin(channel, io);
  else new AlignedIo().begin(channel, io);
}

function emulation(type: number): LayerIo {
  if (type === IO_WRITE_ZEROES) return new ZeroWriter();
  return type === IO_COPY ? new CopyIo() : new CompareIo();
}
