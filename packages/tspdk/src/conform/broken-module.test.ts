/** Modules that are broken where only the block layer's whole contract can be: each must be found by the check of that name, and the same module whole must pass. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { bdevRegistry } from '../bdev/index.ts';
import { allowedCores } from '../env/affinity.ts';
import { App } from '../event/index.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { iobufSubsystem } from '../module/rpc/iobuf.ts';
import { type CheckResult, conform, conformSubsystem } from './index.ts';

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
       const zcopy = options.broken === 'zero-copy' ? ['zcopy'] : [];
       const ioTypes = ['read', 'write', 'flush', 'unmap', 'write_zeroes', 'compare', 'copy', ...zcopy];
       return { sizeBytes: 4 << 20, ioTypes, data: { segment, broken: options.broken } };
     },
     attach({ data: { segment, broken } }, reactor) {
       // Each core its own: what is written on one is not seen on the other.
       const own = broken === 'every-core' && reactor.core !== reactor.app.mainCore;
       const memory = own ? { u8: new Uint8Array(4 << 20) } : reactor.segments.get(segment);
       const submit = (request) => {
         const { type, byteOffset: at, bytes, iovs } = request;
         const disk = memory.u8;
         if (type === io.IO_READ) {
           for (let i = 0, from = at; i < iovs.count; from += iovs.bytes[i++]) {
             iovs.segment[i].u8.set(disk.subarray(from, from + iovs.bytes[i]), iovs.offset[i]);
             // The last piece runs over.
             if (broken === 'vectored' && iovs.count > 1) iovs.segment[i].u8[iovs.offset[i] + iovs.bytes[i]] = 0;
           }
         } else if (type === io.IO_WRITE) disk.set(bytesOf(iovs), at);
         else if (type === io.IO_UNMAP || type === io.IO_WRITE_ZEROES) disk.fill(0, at, at + bytes);
         else if (type === io.IO_COMPARE) {
           const wanted = broken === 'compare' ? bytes - 1 : bytes;
           const same = bytesOf(iovs).subarray(0, wanted).equals(Buffer.from(disk.subarray(at, at + wanted)));
           return request.complete(same ? 0 : -84);
         } else if (type === io.IO_COPY) {
           disk.copyWithin(at, request.sourceOffset, request.sourceOffset + bytes - (broken === 'copy' ? 1 : 0));
         }
         request.complete(broken === 'reset' && type !== io.IO_FLUSH && lately() ? REFUSED : 0);
       };
       let count = 0;
       const lately = () => ++count % 40 === 0;
       return { createChannel: () => ({
         submit,
         zcopy: (at, bytes, out) => { out.push(memory, at + (broken === 'zero-copy' ? 512 : 0), bytes); return true; },
         blockStatus: (at, bytes, out) => { out.push(bytes, broken === 'block-status' ? 3 : 0); return 0; },
       }) };
     },
     destroy: ({ data }, reactor) => dropSegment(reactor, data.segment),
   });`,
);

async function check(broken: string, reactors: number): Promise<readonly CheckResult[]> {
  let results: readonly CheckResult[] = [];
  const cores = allowedCores().slice(0, reactors);
  const subsystems = [iobufSubsystem, bdevSubsystem, conformSubsystem];
  const rc = await App.start({ cores, pin: false, signals: false, subsystems }, async (app) => {
    await bdevRegistry(app.reactor).create('disk', { name: 'M', module, options: { broken } });
    ({ results } = await conform(app.reactor, 'M', { timeoutMs: 20_000 }));
    app.stop(0);
  });
  assert.equal(rc, 0, 'a leak would make it 1');
  return results;
}

const failedIn = (results: readonly CheckResult[]) =>
  new Map(results.filter(({ status }) => status === 'failed').map(({ name, message }) => [name, message ?? '']));

test('the module as it should be passes', async () => {
  assert.deepEqual([...failedIn(await check('', 2))], []);
});

for (const [name, message] of [
  ['vectored', /memory 1 bytes behind its buffer is untouched; got it was written to/],
  ['compare', /compare with byte \d+ different to end with EILSEQ \(-84\); got success/],
  ['copy', /three blocks copied from block 0 to block 4: byte 3583 of the disk/],
  ['zero-copy', /what was written, in the disk’s own memory: byte \d+/],
  ['block-status', /data in the extent of 32768 bytes at 0, which was written; got a hole/],
  ['every-core', /on core \d+ the same as on core \d+: byte \d+ of the disk/],
  ['reset', /I\/Os under a reset to end with success or ECANCELED \(-125\); got ENOSPC/],
] as const) {
  test(`${name}: a module that is broken there is found`, async () => {
    const failed = failedIn(await check(name, 2));
    assert.ok(failed.has(name), `${name} did not find it; failed: ${[...failed.keys()].join(', ')}`);
    assert.match(failed.get(name) ?? '', message);
  });
}
