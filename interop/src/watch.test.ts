// `tspdk serve --watch`: a disk's file is written again and again while a real client (libnbd) reads without a pause. Nothing fails, and what is new comes.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { start } from './client.ts';
import { findProgram, requires } from './requires.ts';
import { scratch } from './scratch.ts';
import { hasTarget, startCli } from './target.ts';

const kit = new URL('../../packages/tspdk/dist/index.js', import.meta.url).href;

/** The Python that the package belongs to, whatever else is installed. */
const systemPython = { PATH: `/usr/bin:/bin:${process.env.PATH ?? ''}` };

/** A disk all of whose bytes are `value`; each read takes a while, so that some are under way at any time. */
const text = (value: number, size = 1 << 20) => `
  import { setTimeout as pause } from 'node:timers/promises';
  import { defineDisk } from ${JSON.stringify(kit)};
  export default defineDisk({
    size: ${size},
    async read(offset, buffer) { await pause(offset % 3); buffer.fill(${value}); },
  });`;

/** Reads all the time, several at once; prints each value that it finds, once in a row. A read that fails ends it with its traceback. */
const reader = `
import sys
before = None
pending = []
def done(buffer, error):
    global before
    if error.value != 0:
        print("ERROR %d" % error.value, flush=True)
        sys.exit(1)
    data = buffer.to_bytearray()
    values = set(data)
    if len(values) != 1:
        print("MIXED %r" % values, flush=True)
        sys.exit(1)
    value = data[0]
    if value != before:
        print("value %d" % value, flush=True)
        before = value
    return 1
n = 0
while True:
    while h.aio_in_flight() < 16:
        buffer = nbd.Buffer(4096)
        h.aio_pread(buffer, (n % 200) * 4096, completion=lambda error, buffer=buffer: done(buffer, error))
        n += 1
    h.poll(-1)
`;

function ready(t: TestContext): boolean {
  if (!hasTarget()) t.skip('there is no target in this checkout');
  return hasTarget() && requires(t, 'nbdsh');
}

test('a client that reads all the time sees new versions and no error; a broken one changes nothing', async (t) => {
  if (!ready(t)) return;
  const dir = scratch(t);
  const file = join(dir, 'disk.mjs');
  writeFileSync(file, text(1));
  // Named by a link that lies elsewhere.
  const link = join(scratch(t), 'link.mjs');
  symlinkSync(file, link);
  const serving = startCli(t, ['serve', link, '--watch', '--nbd', `unix:${join(dir, 'nbd.sock')}`, '-m', '0x3']);
  await serving.printed(/Ctrl-C/);
  const uri = /nbd\S*:\/\/[^\s']+/.exec(serving.output())![0];
  const client = start(t, findProgram('nbdsh')!, ['-u', uri, '-c', reader], { env: systemPython });
  await client.printed(/value 1/);
  for (let value = 2; value <= 6; value++) {
    writeFileSync(file, text(value));
    await client.printed(new RegExp(`value ${value}\n`));
  }
  // As editors do: a new file takes the old one's place.
  writeFileSync(`${file}.new`, text(7));
  renameSync(`${file}.new`, file);
  await client.printed(/value 7\n/);
  // The link names another file from now on, and it is that which is saved.
  const other = join(scratch(t), 'disk.mjs');
  writeFileSync(other, text(8));
  symlinkSync(other, `${link}.new`);
  renameSync(`${link}.new`, link);
  await client.printed(/value 8\n/);
  writeFileSync(other, text(9));
  await client.printed(/value 9\n/);
  symlinkSync(file, `${link}.new`);
  renameSync(`${link}.new`, link);
  await client.printed(/value 7\n[\s\S]*value 7\n/);
  writeFileSync(file, 'function connect() { throw new Error("no such bucket"); }\nconnect();\n');
  await serving.printed(/no such bucket[\s\S]*at connect \(.*disk\.mjs:1:[\s\S]*the version before goes on/);
  writeFileSync(file, text(10, 1 << 21));
  await client.printed(/value 10\n/);
  await serving.printed(/reloaded .*link\.mjs, 2097152 bytes/);
  // Who connects now sees the new size.
  const sized = start(t, findProgram('nbdsh')!, ['-u', uri, '-c', 'print("size %d" % h.get_size())'], {
    env: systemPython,
  });
  assert.match((await sized.finished).stdout, /size 2097152/);
  assert.equal(client.child.exitCode, null, client.output());
  assert.doesNotMatch(client.output(), /ERROR|MIXED|Traceback/);
  assert.deepEqual(
    [...client.output().matchAll(/value (\d+)/g)].map(([, value]) => Number(value)),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 10],
    'never an old one after a new one',
  );
  const gone = once(client.child, 'exit');
  client.child.kill('SIGTERM');
  await gone;
  serving.child.kill('SIGINT');
  assert.equal((await serving.finished).code, 0);
});
