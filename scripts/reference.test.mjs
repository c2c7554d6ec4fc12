// The reference pages say what the code says. When this fails: `npm run docs`, and look at what changed.

import assert from 'node:assert/strict';
import { relative } from 'node:path';
import { test } from 'node:test';
import { root } from './bootstrap.mjs';
import { referencePages, stalePages } from './reference.mjs';

test('docs/reference is what `npm run docs` writes', async () => {
  const stale = stalePages(await referencePages()).map((path) => relative(root, path));
  assert.deepEqual(stale, [], 'out of date: run `npm run docs`');
});
