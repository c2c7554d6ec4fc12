// nbdcopy: 1 GiB there and back, over four connections with 64 requests in flight on each, compared bit for bit.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runOk } from './client.ts';
import { writePattern } from './pattern.ts';
import { scratch } from './scratch.ts';
import { requiresServer, startServer } from './server.ts';

const sizeBytes = 1 << 30;

for (const transport of ['unix', 'tcp'] as const) {
  test(`1 GiB goes there and back over ${transport}, bit for bit`, async (t) => {
    if (!requiresServer(t, 'nbdcopy')) return;
    const dir = scratch(t);
    const [there, back] = [join(dir, 'there'), join(dir, 'back')];
    writePattern(there, sizeBytes, 1);
    const server = await startServer(t, { sizeBytes, transport, reactors: 2 });
    const parallel = ['--connections=4', '--requests=64'];
    const timeoutMs = 180_000;
    await runOk('nbdcopy', [...parallel, '--flush', there, server.uri], { timeoutMs });
    await runOk('nbdcopy', [...parallel, server.uri, back], { timeoutMs });
    assert.equal(await runOk('cmp', [there, back], { timeoutMs }), '');
    // Once more onto a disk with other contents, so that what is zero in the source must be made zero.
    rmSync(back);
    writePattern(join(dir, 'other'), sizeBytes / 4, 2);
    await runOk('nbdcopy', [...parallel, join(dir, 'other'), server.uri], { timeoutMs });
    await runOk('nbdcopy', [...parallel, there, server.uri], { timeoutMs });
    await runOk('nbdcopy', [...parallel, server.uri, back], { timeoutMs });
    assert.equal(await runOk('cmp', [there, back], { timeoutMs }), '');
    await server.stop();
  });
}
