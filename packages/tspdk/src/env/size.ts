/**
 * Sizes as people write them: "64M", "1GiB", "512". Powers of 1024 (SPDK: spdk_parse_capacity).
 */
const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** Bytes of "64M", "1GiB", "512"; null when it is not a size. */
export function parseSize(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text);
  if (match === null) return null;
  return Number(match[1]) * UNITS[match[2].toUpperCase()];
}
