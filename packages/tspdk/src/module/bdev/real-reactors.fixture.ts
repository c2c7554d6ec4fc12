/** I/O from a reactor's own thread, for real-reactors.test.ts: every reactor loads this file, and a test file must not be loaded twice. */
import { BdevDesc } from '../../bdev/index.ts';
import { defineControl } from '../../event/control.ts';

export const fixtureUrl = import.meta.url;

/** What one reactor does: writes `value` to its blocks, flushes, reads them back. The bytes that differ. */
export const writeAndRead = defineControl(
  'test.bdev.write_and_read',
  async (
    job: { name: string; segment: number; at: number; bytes: number; value: number },
    reactor,
  ): Promise<number> => {
    const desc = BdevDesc.open(job.name, { write: true, reactor, onEvent: () => {} });
    const channel = desc.getIoChannel();
    const segment = reactor.segments.get(job.segment);
    // Each core has a part of the segment to itself.
    const base = reactor.index * job.bytes * 2;
    const io = (start: (cb: (ctx: unknown, status: number) => void) => number): Promise<void> =>
      new Promise((resolve, reject) => {
        const rc = start((_, status) => (status === 0 ? resolve() : reject(new Error(`status ${status}`))));
        if (rc !== 0) reject(new Error(`refused ${rc}`));
      });
    segment.u8.fill(job.value, base, base + job.bytes);
    segment.u8.fill(0, base + job.bytes, base + 2 * job.bytes);
    await io((cb) => channel.write(segment, base, job.at, job.bytes, cb, null));
    await io((cb) => channel.flush(0, desc.bdev.sizeBytes, cb, null));
    await io((cb) => channel.read(segment, base + job.bytes, job.at, job.bytes, cb, null));
    let wrong = 0;
    for (let i = 0; i < job.bytes; i++) if (segment.u8[base + job.bytes + i] !== job.value) wrong++;
    desc.close();
    return wrong;
  },
);

/**
 * Two reads of a disk's place `at`, which never end by themselves: one is aborted, a reset ends the other. What all three ended with. Then `reads` of the place `racing`, each aborted while it
 * may be ending: how many ended neither well nor aborted.
 */
export const abortAndReset = defineControl(
  'test.bdev.abort_and_reset',
  async (
    job: { name: string; segment: number; at: number; racing: number; reads: number },
    reactor,
  ): Promise<{ statuses: number[]; wrong: number }> => {
    const desc = BdevDesc.open(job.name, { write: false, reactor, onEvent: () => {} });
    const channel = desc.getIoChannel();
    const segment = reactor.segments.get(job.segment);
    const base = (reactor.index * segment.sizeBytes) / 2;
    const ending = (start: (cb: (ctx: unknown, status: number) => void) => number): Promise<number> =>
      new Promise((resolve, reject) => {
        const rc = start((_, status) => resolve(status));
        if (rc !== 0) reject(new Error(`refused ${rc}`));
        reactor.kick();
      });
    const read = (at: number, ctx: unknown) =>
      ending((cb) => channel.read(segment, base, at, 512, (_, status) => cb(null, status), ctx));
    const aborted = read(job.at, 'aborted');
    const reset = read(job.at, 'reset');
    channel.abort('aborted');
    reactor.kick();
    const statuses = [await aborted, await ending((cb) => channel.reset(cb, null)), await reset];
    let wrong = 0;
    for (let i = 0; i < job.reads; i++) {
      const ends = read(job.racing, i);
      // Sometimes at once, sometimes a turn of the event loop or two later.
      for (let turns = i % 3; turns > 0; turns--) await new Promise<void>((resolve) => setImmediate(resolve));
      channel.abort(i);
      reactor.kick();
      const status = await ends;
      if (status !== 0 && status !== -125) wrong++;
    }
    desc.close();
    return { statuses, wrong };
  },
);
