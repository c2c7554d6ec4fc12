/**
 * The ranks of I/O buffers that are needed on the way of an I/O (env/iobuf.ts, buffered-io.ts): at each level of disks the module's, above it that of what the layer does for an I/O of its own
 * that has a buffer, and above that the layer's.
 */
export const RANKS_OF_LEVEL = 3;

interface Levelled {
  readonly level: number;
}

export function moduleRank({ level }: Levelled): number {
  return RANKS_OF_LEVEL * level;
}

/** `above`: how many of the layer's I/Os of the same disk that have a buffer it is done for; one at most. */
export function layerRank({ level }: Levelled, above: number): number {
  return RANKS_OF_LEVEL * level + RANKS_OF_LEVEL - 1 - above;
}
