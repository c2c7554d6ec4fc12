// A program of its own: `node copy-limit.js MEMORY_BYTES COPY_BYTES SECONDS` prints how many copies a second TypedArray.set makes from random places of memory that
// is shared and written, as a memory disk's is, to 32 buffers in turn. What a memory disk can come near to.

const [memoryBytes, copyBytes, seconds] = process.argv.slice(2).map(Number);
const buffers = 32;
const batch = 1000;
const memory = new Uint8Array(new SharedArrayBuffer(memoryBytes)).fill(1);
const target = new Uint8Array(new SharedArrayBuffer(buffers * copyBytes));
const places = memoryBytes / copyBytes;

/** Draws as `tspdk perf` does: a few integer operations. */
let state = 12345;
function place(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return ((state >>> 0) * (places / 0x1_0000_0000)) | 0;
}

function copy(count: number): void {
  for (let i = 0; i < count; i++) {
    const at = place() * copyBytes;
    target.set(memory.subarray(at, at + copyBytes), (i % buffers) * copyBytes);
  }
}

copy(100_000);
const started = performance.now();
let copied = 0;
while (performance.now() - started < seconds * 1000) {
  copy(batch);
  copied += batch;
}
console.log((copied * 1000) / (performance.now() - started));
