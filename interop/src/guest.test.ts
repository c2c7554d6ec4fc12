// The guest itself, before anything is tried in it, and then the kernel's NBD client against the server under test.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requiresGuest, runGuest } from './guest.ts';

test('the guest boots, runs a script and gives its output and exit code', async (t) => {
  if (!requiresGuest(t)) return;
  const { code, output } = await runGuest(t, 'uname -a\nmodprobe nbd\nls /dev/nbd0\necho to stderr >&2\nexit 7\n');
  assert.match(output, /^Linux .* x86_64 GNU\/Linux$/m);
  assert.match(output, /^\/dev\/nbd0$/m);
  assert.match(output, /^to stderr$/m);
  assert.equal(code, 7);
});
