// `npm run bench [-- NAME ...] [-- --json]`: runs all the benchmarks, or those named, and prints a table, or one JSON object a line.
// Exit code 0, also when a target is missed (the row says so): a benchmark informs. 1 when a benchmark fails to run, 2 for a wrong argument.

import type { Row } from './harness.ts';
import { benchmarks } from './registry.ts';

process.exitCode = await main(process.argv.slice(2).filter((argument) => argument !== '--'));

async function main(args: readonly string[]): Promise<number> {
  const json = args.includes('--json');
  const names = args.filter((argument) => argument !== '--json');
  const unknown = names.find((name) => !benchmarks.some((each) => each.name === name));
  if (unknown !== undefined) {
    const list = benchmarks.map((each) => `  ${each.name.padEnd(16)} ${each.about}`);
    console.error(`There is no benchmark '${unknown}'. Those there are:\n${list.join('\n') || '  (none yet)'}`);
    return 2;
  }
  let failures = 0;
  const rows: Row[] = [];
  for (const benchmark of benchmarks) {
    if (names.length > 0 && !names.includes(benchmark.name)) continue;
    console.error(`${benchmark.name}: ${benchmark.about}`);
    try {
      const found = await benchmark.run((line) => console.error(`  ${line}`));
      rows.push(...found);
      if (json) for (const each of found) console.log(JSON.stringify(each));
    } catch (error) {
      failures++;
      console.error(`${benchmark.name} failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
    }
  }
  if (!json && rows.length > 0) console.log(table(rows));
  return failures === 0 ? 0 : 1;
}

function table(rows: readonly Row[]): string {
  const lines = [['what', 'value', 'unit', 'peer', 'its value', 'ratio', 'target', '']];
  for (const each of rows) {
    const verdict = each.ok === undefined ? '' : each.ok ? 'ok' : 'MISSED';
    const { peer = '', peerValue, ratio, target } = each;
    lines.push([each.name, show(each.value), each.unit, peer, show(peerValue), show(ratio), show(target), verdict]);
  }
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const isNumber = (column: number) => [1, 4, 5, 6].includes(column);
  return lines
    .map((line) =>
      line
        .map((cell, column) => (isNumber(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Three significant digits are what a median on a shared machine is worth; counts keep their thousands apart. */
function show(value: number | undefined): string {
  if (value === undefined) return '';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}
