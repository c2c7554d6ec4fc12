// Driver: the few words of a disk that all cores see, and the map of what has been written. Core 0 is the app core, the only one that claims.
import assert from 'node:assert/strict';
import { kitOf } from './two.mjs';

const kit = kitOf(import.meta.url);
const {
  BDEV_ATTACHING,
  BDEV_READY,
  BDEV_REMOVING,
  CLAIM_EXCL_WRITE,
  CLAIM_NONE,
  CLAIM_READ_MANY_WRITE_ONE,
  createSharedState,
  SharedState,
} = await kit('bdev/shared-state.js');
const { AllocationMap, allocationMapBytes, CHUNK_BYTES } = await kit('module/bdev/malloc/allocation-map.js');
const bytes = 64 * CHUNK_BYTES;

export const make = () => ({ state: createSharedState(), map: new SharedArrayBuffer(allocationMapBytes(bytes)) });

/** Claims, as a writer or as a reader whom the claim makes one. */
function claimOnce(words, type, asWriter) {
  assert(words.opened(asWriter, undefined));
  const claim = words.tryClaim(type, asWriter, 0n);
  // This kind of claim finds the other core writing, now and then.
  if (claim === null) assert.equal(type, CLAIM_READ_MANY_WRITE_ONE);
  else {
    assert.equal(words.claim, type);
    if (!asWriter) words.promoted();
    assert(words.writers > 0);
    words.releaseClaim(true);
    assert.equal(words.claim, CLAIM_NONE);
  }
  const writes = asWriter || claim !== null;
  words.closed(writes, writes);
}

/** A writer without a claim, whom a claim keeps out. */
function writeOnce(words) {
  assert([CLAIM_NONE, CLAIM_EXCL_WRITE, CLAIM_READ_MANY_WRITE_ONE].includes(words.claim));
  if (!words.opened(true, undefined)) return;
  assert(words.descs > 0 && words.writers > 0);
  words.closed(true, true);
}

export const run = (core, { state, map }) => {
  const words = new SharedState(state);
  const written = new AllocationMap(map);
  if (core === 0) words.attached();
  for (let n = 0; n < 40; n++) {
    assert([BDEV_ATTACHING, BDEV_READY, BDEV_REMOVING].includes(words.state));
    if (core === 0) claimOnce(words, n % 2 === 0 ? CLAIM_EXCL_WRITE : CLAIM_READ_MANY_WRITE_ONE, n % 3 === 0);
    writeOnce(words);
    const mine = ((n * 2 + core) % 64) * CHUNK_BYTES;
    written.set(mine, CHUNK_BYTES);
    assert(written.isSet(mine));
    written.isSet((((n + 1) * 2 + 1 - core) % 64) * CHUNK_BYTES);
    written.clear(mine, CHUNK_BYTES);
  }
  words.beginRemove();
  assert.equal(words.state, BDEV_REMOVING);
};
