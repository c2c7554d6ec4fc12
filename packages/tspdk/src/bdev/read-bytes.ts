/** A range of a disk as bytes, for who looks at what lies on it: tables, labels. Control path. */
import { SpdkError } from '../env/errors.ts';
import type { IoBuf } from '../env/iobuf.ts';
import type { Reactor } from '../event/reactor.ts';
import { RESET_RETRIES, RESET_RETRY_US } from './base-reset.ts';
import type { BdevChannel } from './channel.ts';
import type { BdevDesc } from './desc.ts';
import { ECANCELED, ENODEV, ENOMEM } from './status.ts';

/** A large I/O buffer, as soon as there is one. */
export function largeBuffer({ iobuf }: Reactor): Promise<IoBuf> {
  return new Promise((resolve) => {
    const buf = iobuf.getLarge();
    if (buf !== null) resolve(buf);
    else iobuf.waitLarge({ nextWaiter: null, onBuf: resolve });
  });
}

function readInto(channel: BdevChannel, buf: IoBuf, byteOffset: number, bytes: number): Promise<number> {
  return new Promise((resolve) => {
    const submit = (): void => {
      const rc = channel.read(buf.segment, buf.offset, byteOffset, bytes, (_, status) => resolve(status), null);
      if (rc === ENOMEM) channel.queueIoWait({ onReady: submit });
      else if (rc !== 0) resolve(rc);
    };
    submit();
  });
}

/** Whole blocks from `byteOffset` on. @throws {SpdkError} EINVAL when no I/O buffer holds a block; EIO with what the disk answered; ENODEV when it, or what it stands on, is going */
export async function readBytes(desc: BdevDesc, byteOffset: number, bytes: number): Promise<Uint8Array> {
  const { name, blockSizeBytes, manager } = desc.bdev;
  const { largeBytes } = manager.reactor.iobuf;
  if (blockSizeBytes > largeBytes) {
    throw new SpdkError(
      'EINVAL',
      `bdev "${name}": blocks of ${blockSizeBytes} bytes, limit ${largeBytes}, a large I/O buffer`,
    );
  }
  const out = new Uint8Array(bytes);
  const buf = await largeBuffer(manager.reactor);
  try {
    const channel = desc.getIoChannel();
    try {
      const most = Math.floor(buf.sizeBytes / blockSizeBytes) * blockSizeBytes;
      for (let at = 0; at < bytes; at += most) {
        const piece = Math.min(most, bytes - at);
        let status = await readInto(channel, buf, byteOffset + at, piece);
        for (let turn = 0; status === ECANCELED && turn < RESET_RETRIES; turn++) {
          await new Promise<void>((resolve) => manager.retryAfter(RESET_RETRY_US, { retry: resolve }));
          status = await readInto(channel, buf, byteOffset + at, piece);
        }
        if (status !== 0) {
          throw new SpdkError(
            status === ENODEV ? 'ENODEV' : 'EIO',
            `bdev "${name}": ${piece} bytes at ${byteOffset + at} cannot be read (${status})`,
          );
        }
        out.set(buf.segment.u8.subarray(buf.offset, buf.offset + piece), at);
      }
    } finally {
      channel.close();
    }
  } finally {
    manager.reactor.iobuf.put(buf);
  }
  return out;
}
