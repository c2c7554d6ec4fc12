// Numbers that a check draws, from a seed that it prints.

/** A small generator, so that a failing run can be done again: TSPDK_SEED. */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
