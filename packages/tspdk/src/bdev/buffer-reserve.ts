/**
 * The reserve of I/O buffers on every core (env/iobuf.ts), which is as large as the disks stand high: made for a level before the first disk of it is attached. Control path, app core.
 */
import { limits } from '../env/limits.ts';
import { alignedOffset } from '../env/segment.ts';
import { defineControl } from '../event/control.ts';
import type { Reactor } from '../event/reactor.ts';
import { callAll } from './call-all.ts';
import { BUFFERS_OF_LEVEL } from './io-rank.ts';
import { dropSegment, shareSegment } from './segments.ts';

const addReserve = defineControl('bdev.reserve', (id: number, reactor): void => {
  const segment = reactor.segments.get(id);
  const ownBytes = BUFFERS_OF_LEVEL * reactor.iobuf.largeBytes;
  const offset = alignedOffset(segment, limits.iobuf_align_bytes) + reactor.index * ownBytes;
  reactor.iobuf.addReserve(segment, offset, BUFFERS_OF_LEVEL);
});

const dropReserve = defineControl('bdev.reserve.drop', (_: null, reactor): number => reactor.iobuf.dropReserve());

export class BufferReserve {
  readonly #reactor: Reactor;
  /** One a level. */
  readonly #segments: number[] = [];
  #growing: Promise<void> = Promise.resolve();

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
  }

  /** There are buffers for disks of `level` from when it resolves. @throws {SpdkError} ENOMEM */
  cover(level: number): Promise<void> {
    const grown = this.#growing.catch(() => {}).then(() => this.#grow(level));
    this.#growing = grown;
    return grown;
  }

  async #grow(level: number): Promise<void> {
    const { cores, iobuf } = this.#reactor;
    while (this.#segments.length <= level) {
      const bytes = cores.length * BUFFERS_OF_LEVEL * iobuf.largeBytes + limits.iobuf_align_bytes;
      const id = await shareSegment(this.#reactor, bytes);
      await callAll(this.#reactor, addReserve, id);
      this.#segments.push(id);
    }
  }

  /** Gives it back; every disk has gone. @throws {Error} when buffers of it are out */
  async drop(): Promise<void> {
    const out = await callAll(this.#reactor, dropReserve, null);
    for (const id of this.#segments.splice(0)) await dropSegment(this.#reactor, id);
    const held = out.reduce((sum, each) => sum + each, 0);
    if (held > 0) throw new Error(`leak: ${held} I/O buffer(s) of the reserve`);
  }
}
