// A disk of one's own in one's own test suite: what every disk must do, as tests of node:test.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App, allowedCores, bdevRegistry, conform, conformSubsystem, targetSubsystems } from 'tspdk';

test('ram.ts does what every disk must', async (t) => {
  const module = new URL('../disk/ram.js', import.meta.url).href;
  const subsystems = [...targetSubsystems, conformSubsystem];
  const cores = allowedCores().slice(0, 2);
  const rc = await App.start({ cores, subsystems, signals: false }, async (app) => {
    await bdevRegistry(app.reactor).create('disk', { name: 'ram', module });
    const { results } = await conform(app.reactor, 'ram', { timeoutMs: 5000 });
    for (const { name, summary, status, message } of results) {
      await t.test(`${name}: ${summary}`, { skip: status === 'skipped' && message }, () => {
        assert.equal(status, 'ok', message);
      });
    }
    app.stop(0);
  });
  // 1: an I/O buffer, a descriptor or memory was left behind.
  assert.equal(rc, 0);
});
