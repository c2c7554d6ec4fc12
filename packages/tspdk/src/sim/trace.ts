/**
 * What happened in a simulation, as one number: two runs with the same trace did the same things in the same order.
 */

/** A running 32-bit hash (FNV-1a over integers). */
export class Trace {
  hash = 0x811c9dc5 | 0;
  length = 0;

  note(value: number): void {
    this.hash = Math.imul(this.hash ^ (value | 0), 0x01000193);
    // Stirs the high bits down, which FNV alone leaves to later steps.
    this.hash ^= this.hash >>> 15;
    this.length++;
  }
}
