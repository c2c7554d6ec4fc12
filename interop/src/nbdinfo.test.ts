// nbdinfo: what the server says of itself and its exports.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run, runOk } from './client.ts';
import { nbdUri } from './nbd-server.ts';
import { requiresServer, serverKind, startServer } from './server.ts';

// Not a power of two: a size that was rounded somewhere would show.
const sizeBytes = (96 << 20) + 8192;

interface Listing {
  readonly protocol: string;
  readonly exports: readonly Readonly<Record<string, unknown>>[];
}

for (const transport of ['unix', 'tcp'] as const) {
  test(`nbdinfo sees size, flags and allocation over ${transport}`, async (t) => {
    if (!requiresServer(t, 'nbdinfo')) return;
    const server = await startServer(t, { sizeBytes, transport });
    assert.equal((await runOk('nbdinfo', ['--size', server.uri])).trim(), String(sizeBytes));
    const listing = JSON.parse(await runOk('nbdinfo', ['--json', server.uri])) as Listing;
    assert.equal(listing.protocol, 'newstyle-fixed');
    const info = listing.exports[0]!;
    assert.equal(info['export-size'], sizeBytes);
    assert.equal(info.is_read_only, false);
    for (const ability of ['flush', 'fua', 'multi_conn', 'trim', 'zero', 'df']) {
      // qemu-nbd has no multi-conn for a writable disk before version 8.
      if (ability === 'multi_conn' && serverKind === 'qemu-nbd') continue;
      assert.equal(info[`can_${ability}`], true, ability);
    }
    assert.deepEqual((info.contexts as string[]).includes('base:allocation'), true);
    const map = JSON.parse(await runOk('nbdinfo', ['--map', '--json', server.uri])) as {
      offset: number;
      length: number;
    }[];
    let covered = 0;
    for (const { offset, length } of map) {
      assert.equal(offset, covered);
      covered += length;
    }
    assert.equal(covered, sizeBytes);
    await server.stop();
  });
}

test('nbdinfo lists the exports, and an unknown one is refused', async (t) => {
  if (!requiresServer(t, 'nbdinfo')) return;
  const server = await startServer(t, { sizeBytes });
  const listing = JSON.parse(await runOk('nbdinfo', ['--list', '--json', nbdUri(server.address, '')])) as Listing;
  assert.deepEqual(
    listing.exports.map((each) => each['export-name']),
    [server.exportName],
  );
  // nbdkit serves its one disk under every name.
  if (server.kind !== 'nbdkit') {
    const refused = await run('nbdinfo', ['--size', nbdUri(server.address, 'no-such-disk')]);
    assert.notEqual(refused.code, 0);
    assert.equal((await runOk('nbdinfo', ['--size', server.uri])).trim(), String(sizeBytes));
  }
  await server.stop();
});
