/** The ranks of I/O buffers that are needed on the way of an I/O (env/iobuf.ts, buffered-io.ts): at each level of disks the module's, and above it the layer's. */
interface Levelled {
  readonly level: number;
}

export function moduleRank({ level }: Levelled): number {
  return 2 * level;
}

export function layerRank({ level }: Levelled): number {
  return 2 * level + 1;
}
