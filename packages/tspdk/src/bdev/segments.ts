/**
 * Memory that every reactor of the application sees: made on the app core, attached everywhere before it is used.
 */
import { SpdkError } from '../env/errors.ts';
import type { Reactor } from '../event/reactor.ts';
import { attachSegment, detachSegment } from '../event/segments.ts';
import { callAll } from './call-all.ts';

/**
 * A zeroed segment of `sizeBytes` on every core. App core only.
 * @param pinnable false when pages of it are given back to the system
 * @returns its number, for `reactor.segments.get`
 * @throws {SpdkError} ENOMEM when the machine has no such memory
 */
export async function shareSegment(reactor: Reactor, sizeBytes: number, pinnable = true): Promise<number> {
  let sab: SharedArrayBuffer;
  try {
    sab = new SharedArrayBuffer(sizeBytes);
  } catch (error) {
    throw new SpdkError('ENOMEM', `no memory for a segment of ${sizeBytes} bytes`, { cause: error });
  }
  const id = reactor.allocSegmentId();
  await callAll(reactor, attachSegment, { id, sab, pinnable });
  return id;
}

/** Every core forgets the segment. App core only. */
export async function dropSegment(reactor: Reactor, id: number): Promise<void> {
  await callAll(reactor, detachSegment, { id });
}
