// The same target without io_uring, and without any native call: slower, and right.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { runOk } from './client.ts';
import { writePattern } from './pattern.ts';
import { scratch } from './scratch.ts';
import { requiresServer, serverKind, startServer } from './server.ts';

const sizeBytes = 128 << 20;

for (const name of ['TSPDK_NO_URING', 'TSPDK_NO_FFI']) {
  for (const disk of ['memory', 'file'] as const) {
    for (const transport of ['unix', 'tcp'] as const) {
      test(`${name}=1: a ${disk} disk over ${transport}`, async (t) => {
        if (serverKind !== 'tspdk') return t.skip('for tspdk only');
        if (!requiresServer(t, 'nbdcopy', 'qemu-img')) return;
        const dir = scratch(t);
        const [there, back, file] = [join(dir, 'there'), join(dir, 'back'), join(dir, 'disk')];
        writePattern(there, sizeBytes, 4);
        if (disk === 'file') writePattern(file, sizeBytes, 6);
        const where = disk === 'file' ? { file } : {};
        const server = await startServer(t, { sizeBytes, transport, reactors: 2, env: { [name]: '1' }, ...where });
        await runOk('nbdcopy', ['--connections=4', '--requests=64', '--flush', there, server.uri]);
        await runOk('nbdcopy', ['--connections=4', '--requests=64', server.uri, back]);
        assert.equal(await runOk('cmp', [there, back]), '');
        await server.stop();
        if (disk === 'file') assert.equal(await runOk('cmp', [there, file]), '');
      });
    }
  }
}
