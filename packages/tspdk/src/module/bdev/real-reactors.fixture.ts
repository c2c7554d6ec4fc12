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
