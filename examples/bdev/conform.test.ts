// A disk of one's own in one's own test suite: what every disk must do, as tests of node:test.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App, allowedCores, bdevRegistry } from 'tspdk';
import { conform, conformSubsystem } from 'tspdk/conform';
import { bdevSubsystem } from 'tspdk/target';

test('ram.ts does what every disk must', async (t) => {
  const module = new URL('../disk/ram.js', import.meta.url).href;
  const subsystems = [bdevSubsystem, conformSubsystem];
  const cores = allowedCores().slice(0, 2);
  const rc = await App.start({ cores, subsystems, signals: false }, async (app) => {
    await bdevRegistry(app.reactor).create('disk', { name: 'ram', module });
    const { results } = await conform(app.reactor, 'ram', { timeoutMs: 5000 });
    assert.ok(results.some(({ status }) => status === 'ok'));
    for (const { name, summary, status, message } of results) {
      await t.test(`${name}: ${summary}`, { skip: status === 'skipped' && message }, () => {
        assert.equal(status, 'ok', message);
      });
    }
    app.stop(0);
  });
  // 1: an I/O buffer or a block of the heap was left behind.
  assert.equal(rc, 0);
});
