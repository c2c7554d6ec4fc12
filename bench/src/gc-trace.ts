// What a Node process has allocated, from the lines that `--trace-gc` prints.

/**
 * Bytes allocated from the first collection to the last, and the seconds between them; collections in the first `fromSeconds` of the process are left out.
 * Zero bytes in 1 second when there were less than two.
 */
export function heapBytes(trace: string, fromSeconds = 0): { bytes: number; seconds: number } {
  // "[pid:0x...]   1234 ms: Scavenge 5.1 (8.0) -> 4.6 (8.0) MB, ...": used before a collection, less what the one before it left.
  const pattern = /(\d+) ms: [A-Z][^\n]*? ([\d.]+) \([\d.]+\) -> ([\d.]+) \([\d.]+\) MB/g;
  const lines = [...trace.matchAll(pattern)].filter((line) => Number(line[1]) >= fromSeconds * 1000);
  if (lines.length < 2) return { bytes: 0, seconds: 1 };
  let mib = 0;
  for (let i = 1; i < lines.length; i++) mib += Number(lines[i][2]) - Number(lines[i - 1][3]);
  return { bytes: mib * 1024 * 1024, seconds: (Number(lines.at(-1)?.[1]) - Number(lines[0][1])) / 1000 };
}
