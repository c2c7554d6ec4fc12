/**
 * Writes a range of a raid1 member again that could not be read there, with what another member holds: a disk then puts other blocks in the place of bad ones. Control path, on the
 * reactor where the read failed, whose submitter has its data by then.
 *
 * A lock of the range (bdev/lba-lock.ts) holds writes back meanwhile, so that what is written is not older than what is there. The read itself must not wait for
 * the lock: it may be a part of an I/O that holds one. A member that cannot be written either is dropped.
 */

import type { BdevDesc } from '../../../bdev/index.ts';
import { largeBuffer } from '../../../bdev/read-bytes.ts';
import { EIO, ENODEV } from '../../../bdev/status.ts';
import type { IoBuf } from '../../../env/iobuf.ts';
import { BaseIo } from './base-io.ts';
import { withLock } from './locked-range.ts';
import type { RaidBackend } from './raid-backend.ts';
import { raidLog } from './raid-log.ts';

/** At once, on one reactor and disk; a range that is not repaired is when it is read again. */
const REPAIRS = 8;

/** Begins; nothing is heard of the end. */
export function repairRaid1(
  backend: RaidBackend,
  slot: number,
  generation: number,
  byteOffset: number,
  bytes: number,
): void {
  if (backend.tasks.size >= REPAIRS || !backend.isCurrent(slot, generation)) return;
  const task = repair(backend, slot, generation, byteOffset, bytes).catch(() => {});
  backend.tasks.add(task);
  void task.then(() => backend.tasks.delete(task));
}

async function repair(
  backend: RaidBackend,
  slot: number,
  generation: number,
  byteOffset: number,
  bytes: number,
): Promise<void> {
  const buf = await largeBuffer(backend.reactor);
  const { bdev } = backend;
  const over = () => bdev === undefined || bdev.removing || !backend.isCurrent(slot, generation);
  try {
    const most = Math.floor(buf.sizeBytes / backend.blockBytes) * backend.blockBytes;
    for (let done = 0; done < bytes; done += most) {
      const at = byteOffset + done;
      const piece = Math.min(most, bytes - done);
      const run = () => rewrite(backend, slot, generation, buf, at, piece);
      if (bdev === undefined || (await withLock(bdev, at, piece, buf, { over, run })) !== 0) return;
    }
    raidLog.info(`raid "${backend.spec.name}": ${bytes} bytes at ${byteOffset} of base bdev ${slot} are written again`);
  } finally {
    backend.reactor.iobuf.put(buf);
  }
}

async function rewrite(
  backend: RaidBackend,
  slot: number,
  generation: number,
  buf: IoBuf,
  byteOffset: number,
  bytes: number,
): Promise<number> {
  const { descs, offsets, readable } = backend;
  let status = EIO;
  for (let source = 0; source < descs.length && status !== 0; source++) {
    const desc = descs[source];
    if (source === slot || desc === null || readable[source] === 0) continue;
    status = await withIo(desc, (io) => io.read(buf.segment, buf.offset, byteOffset + offsets[source], bytes));
  }
  const desc = descs[slot];
  if (status !== 0 || desc === null || !backend.isCurrent(slot, generation)) return status || ENODEV;
  status = await withIo(desc, (io) => io.write(buf.segment, buf.offset, byteOffset + offsets[slot], bytes));
  if (status !== 0) backend.memberFailed(slot, generation);
  return status;
}

async function withIo(desc: BdevDesc, work: (io: BaseIo) => Promise<number>): Promise<number> {
  if (desc.bdev.removing) return ENODEV;
  const io = new BaseIo(desc);
  try {
    return await work(io);
  } finally {
    io.close();
  }
}
