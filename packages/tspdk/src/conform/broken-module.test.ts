/** Modules that are broken where only the block layer's whole contract can be: each must be found by the check of that name, and the same module whole must pass. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { BdevChannel, bdevRegistry } from '../bdev/index.ts';
import { allowedCores } from '../env/affinity.ts';
import { App } from '../event/index.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { iobufSubsystem } from '../module/rpc/iobuf.ts';
import { type CheckResult, conform, conformSubsystem } from './index.ts';

type Write = BdevChannel['write'];

const dir = mkdtempSync(join(tmpdir(), 'tspdk-broken-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const here = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);
const module = join(dir, 'memory.mjs');
writeFileSync(
  module,
  `import { defineBdevModule, ioStatus } from ${here('../index.js')};
   import * as io from ${here('../bdev/io-type.js')};
   import { shareSegment, dropSegment } from ${here('../index.js')};
   const bytesOf = (iovs) => Buffer.concat(Array.from({ length: iovs.count }, (_, i) =>
     Buffer.from(iovs.segment[i].u8.subarray(iovs.offset[i], iovs.offset[i] + iovs.bytes[i]))));
   const REFUSED = ioStatus('ENOSPC');
   export default defineBdevModule({
     name: 'memory',
     async create({ options }, reactor) {
       const segment = await shareSegment(reactor, 4 << 20);
       const zcopy = options.broken === 'zero-copy' || options.broken === 'parts-of-blocks' ? ['zcopy'] : [];
       const ioTypes = ['read', 'write', 'flush', 'unmap', 'write_zeroes', 'compare', 'compare_and_write', 'copy', ...zcopy];
       const limits = options.broken.includes('unit')
         ? { writeUnitBlocks: 4, splitOnWriteUnit: options.broken === 'in units' }
         : {};
       return { sizeBytes: 4 << 20, ioTypes, limits, data: { segment, broken: options.broken } };
     },
     attach({ data: { segment, broken } }, reactor) {
       // Each core its own: what is written on one is not seen on the other.
       const own = broken === 'every-core' && reactor.core !== reactor.app.mainCore;
       const memory = own ? { u8: new Uint8Array(4 << 20) } : reactor.segments.get(segment);
       let writes = 0;
       const write = (disk, { byteOffset: at, bytes, iovs }) => {
         const data = bytesOf(iovs);
         const over = (at + bytes) % 65536;
         if (broken === 'write-read' && at === 0 && ++writes % 2 === 0) return;
         if (broken === 'boundaries' && over > 0 && over < bytes) return void disk.set(data.subarray(0, bytes - over), at);
         if (broken === 'memory-alignment' && iovs.offset[0] % 8 === 7) data[0] ^= 1;
         if (broken === 'random' && lately()) return;
         if (broken === 'overlapped' && underWay > 1) for (let i = 0; i < bytes; i++) data[i] ^= disk[at + i];
         disk.set(data, broken === 'parts-of-blocks' ? at - (at % 512) : at);
       };
       const submit = (request) => {
         const { type, byteOffset: at, bytes, iovs } = request;
         const disk = memory.u8;
         if (type === io.IO_READ) {
           for (let i = 0, from = at; i < iovs.count; from += iovs.bytes[i++]) {
             iovs.segment[i].u8.set(disk.subarray(from, from + iovs.bytes[i]), iovs.offset[i]);
             // The last piece runs over.
             if (broken === 'vectored' && iovs.count > 1) iovs.segment[i].u8[iovs.offset[i] + iovs.bytes[i]] = 0;
           }
         } else if (type === io.IO_WRITE) write(disk, request);
         else if (type === io.IO_UNMAP || type === io.IO_WRITE_ZEROES) disk.fill(0, at, at + bytes);
         else if (type === io.IO_COMPARE) {
           const wanted = broken === 'compare' ? bytes - 1 : bytes;
           const same = bytesOf(iovs).subarray(0, wanted).equals(Buffer.from(disk.subarray(at, at + wanted)));
           return request.complete(same ? 0 : -84);
         } else if (type === io.IO_COMPARE_AND_WRITE) {
           const same = bytesOf(iovs).equals(Buffer.from(disk.subarray(at, at + bytes)));
           if (same || broken === 'compare-and-write') disk.set(bytesOf(request.writeIovs), at);
           return request.complete(same ? 0 : -84);
         } else if (type === io.IO_COPY) {
           disk.copyWithin(at, request.sourceOffset, request.sourceOffset + bytes - (broken === 'copy' ? 1 : 0));
         }
         const fails = (broken === 'reset' || broken === 'removal') && type !== io.IO_FLUSH && lately();
         request.complete(fails ? REFUSED : 0);
       };
       let count = 0;
       const lately = () => ++count % 20 === 0;
       // One that takes its time, so that there is something to abort.
       let underWay = 0;
       const slow = {
         submit(request) {
           request.driver = 'under way';
           underWay++;
           setImmediate(() => {
             if (request.driver === 'under way') submit(request);
             underWay--;
             reactor.kick();
           });
         },
         abort(request) {
           request.driver = 'aborted';
           request.complete(broken === 'abort' ? REFUSED : ioStatus('ECANCELED'));
           return true;
         },
       };
       return { createChannel: () => ({
         ...(['abort', 'overlapped', 'slow'].includes(broken) ? slow : { submit }),
         zcopy: (at, bytes, out) => { out.push(memory, at + (broken === 'zero-copy' ? 512 : 0), bytes); return true; },
         blockStatus: (at, bytes, out) => { out.push(bytes, broken === 'block-status' ? 3 : 0); return 0; },
       }) };
     },
     destroy: ({ data }, reactor) => dropSegment(reactor, data.segment),
   });`,
);

async function check(broken: string, reactors: number, only?: string): Promise<readonly CheckResult[]> {
  let results: readonly CheckResult[] = [];
  const cores = allowedCores().slice(0, reactors);
  const subsystems = [iobufSubsystem, bdevSubsystem, conformSubsystem];
  const rc = await App.start({ cores, pin: false, signals: false, subsystems }, async (app) => {
    await bdevRegistry(app.reactor).create('disk', { name: 'M', module, options: { broken } });
    ({ results } = await conform(app.reactor, 'M', {
      timeoutMs: 20_000,
      ...(only === undefined ? {} : { only: [only] }),
    }));
    app.stop(0);
  });
  assert.equal(rc, 0, 'a leak would make it 1');
  return results;
}

const failedIn = (results: readonly CheckResult[]) =>
  new Map(results.filter(({ status }) => status === 'failed').map(({ name, message }) => [name, message ?? '']));

for (const [what, how] of [
  ['as it should be', ''],
  ['that takes its time', 'slow'],
  ['that is written in units', 'in units'],
] as const) {
  test(`the module ${what} passes`, async () => {
    assert.deepEqual([...failedIn(await check(how, 2))], []);
  });
}

for (const [name, message] of [
  ['write-read', /what was written to 512 bytes at 0: byte 0 of the disk/],
  ['boundaries', /what was written to 1024 bytes at \d+: byte \d+ of the disk/],
  ['memory-alignment', /what was written to 512 bytes at 0: byte 0 of the disk/],
  ['parts-of-blocks', /8 bytes written at 4, and nothing else changed: byte 0 of the disk/],
  ['overlapped', /what the \w+ of two writes alone has written|of either write/],
  ['random', /I\/O \d+ of seed 1: byte \d+ of the disk/],
  ['vectored', /memory 1 bytes behind its buffer is untouched; got it was written to/],
  ['compare', /compare with byte \d+ different to end with EILSEQ \(-84\); got success/],
  ['copy', /1536 bytes copied from 0 to 2048: byte 3583 of the disk/],
  ['zero-copy', /what was written, in the disk’s own memory: byte \d+/],
  ['block-status', /data in the extent of 32768 bytes at 0, which was written; got a hole/],
  ['every-core', /on core \d+ the same as on core \d+: byte \d+ of the disk/],
  ['compare-and-write', /what was written to 512 bytes at 0: byte 0 of the disk/],
  ['abort', /I\/Os that were aborted to end with success or ECANCELED \(-125\); got ENOSPC/],
  ['reset', /I\/Os under a reset to end with success or ECANCELED \(-125\); got ENOSPC/],
  ['removal', /I\/Os under the removal to end with success or ECANCELED \(-125\) or ENODEV \(-19\); got ENOSPC/],
] as const) {
  test(`${name}: a module that is broken there is found`, async () => {
    const failed = failedIn(await check(name, 2, name));
    assert.ok(failed.has(name), `${name} did not find it; failed: ${[...failed.keys()].join(', ')}`);
    assert.match(failed.get(name) ?? '', message);
  });
}

/** What the layer refuses before a module sees it: here the layer is what is broken. */
for (const [what, broken, message] of [
  [
    'cuts off what crosses the end',
    (write: Write): Write =>
      function (this: BdevChannel, memory, offset, at, bytes, ...rest) {
        const { sizeBytes } = this.desc;
        return write.call(this, memory, offset, at, at < sizeBytes ? Math.min(bytes, sizeBytes - at) : bytes, ...rest);
      },
    /write across the end to end with EINVAL \(-22\); got success/,
  ],
  [
    'writes some of what it refuses',
    (write: Write): Write =>
      function (this: BdevChannel, memory, offset, at, bytes, cb, ctx, flags) {
        const rc = write.call(this, memory, offset, at, bytes, cb, ctx, flags);
        const last = this.desc.sizeBytes - 512;
        if (rc !== 0 && at === last) write.call(this, memory, offset, last, 512, () => {}, null, 0);
        return rc;
      },
    /what was written to 512 bytes at \d+: byte \d+ of the disk/,
  ],
] as const) {
  test(`out-of-range: a block layer that ${what} is found`, async () => {
    const { write } = BdevChannel.prototype;
    BdevChannel.prototype.write = broken(write);
    try {
      const failed = failedIn(await check('', 1, 'out-of-range'));
      assert.match(failed.get('out-of-range') ?? '', message);
    } finally {
      BdevChannel.prototype.write = write;
    }
  });
}

test('out-of-range: a module that takes parts of the units that it says it is written in is found', async () => {
  const failed = failedIn(await check('parts of units', 1, 'out-of-range'));
  const message =
    /write of 512 bytes at 4192256, which is no unit of 2048 bytes to end with EINVAL \(-22\); got success/;
  assert.match(failed.get('out-of-range') ?? '', message);
});
