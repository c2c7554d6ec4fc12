// Driver: the few words of a disk that all cores see, and the map of what has been written.
import assert from 'node:assert/strict';
import { kitOf } from './two.mjs';

const kit = kitOf(import.meta.url);
const { createSharedState, SharedState } = await kit('bdev/shared-state.js');
const { AllocationMap, allocationMapBytes, CHUNK_BYTES } = await kit('module/bdev/malloc/allocation-map.js');
const bytes = 64 * CHUNK_BYTES;

export const make = () => ({ state: createSharedState(), map: new SharedArrayBuffer(allocationMapBytes(bytes)) });

export const run = (core, { state, map }) => {
  const words = new SharedState(state);
  const written = new AllocationMap(map);
  for (let n = 0; n < 40; n++) {
    // The other may be through already, or have claimed it.
    assert([0, 1].includes(words.state) && [0, 1].includes(words.claim));
    words.opened(n % 2 === 0);
    if (n % 2 === 1) words.promoted();
    assert(words.descs > 0 && words.writers > 0);
    if (words.tryClaim()) {
      assert.equal(words.claim, 1);
      words.releaseClaim();
    }
    words.closed(true);
    const mine = ((n * 2 + core) % 64) * CHUNK_BYTES;
    written.set(mine, CHUNK_BYTES);
    assert(written.isSet(mine));
    written.isSet((((n + 1) * 2 + 1 - core) % 64) * CHUNK_BYTES);
    written.clear(mine, CHUNK_BYTES);
  }
  assert(words.beginRemove() || words.state === 1);
};
