/**
 * A test's result as a person reads it: a line a job, then the sum; percentiles when they were asked for; and what went wrong.
 */
import type { JobResult, PerfFigures, PerfResult } from './result.ts';

const HEAD = ['core', 'runtime(s)', 'IOPS', 'MiB/s', 'Fail/s', 'TO/s', 'Average', 'min', 'max'];
const LATENCIES = 3;

function perSecond(count: number, { runtime }: PerfFigures): string {
  return (runtime > 0 ? count / runtime : 0).toFixed(2);
}

function cells(core: string, figures: PerfFigures): string[] {
  return [
    core,
    figures.runtime.toFixed(2),
    figures.iops.toFixed(2),
    figures.mibps.toFixed(2),
    perSecond(figures.io_failed, figures),
    perSecond(figures.io_timeout, figures),
    figures.avg_latency_us.toFixed(2),
    figures.min_latency_us.toFixed(2),
    figures.max_latency_us.toFixed(2),
  ];
}

/** What a job did, in a line of its own: the table has its figures only. */
function jobLine(job: JobResult): string {
  const mix = job.percentage === undefined ? '' : `, ${job.percentage} % reads`;
  const state = job.status === 'finished' ? '' : `, ${job.status}`;
  const resets = job.resets > 0 ? `, ${job.resets} resets that aborted ${job.io_aborted} I/Os` : '';
  const range = job.verify_range;
  const verified =
    range === undefined
      ? ''
      : `, verifying bytes ${range.start * job.io_size} to ${(range.start + range.length) * job.io_size - 1}`;
  return `${job.job} on core ${job.core}: ${job.workload}${mix}, depth ${job.queue_depth}, I/O size ${job.io_size}${verified}${resets}${state}`;
}

function percentileLines(title: string, percentiles: Readonly<Record<string, number>>): string[] {
  const rows = Object.entries(percentiles)
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([share, us]) => `${Number(share).toFixed(5).padStart(12)}% : ${us.toFixed(3).padStart(12)} us`);
  return ['', `Latency of ${title}:`, ...rows];
}

/** All of it, as lines. */
export function perfTable(result: PerfResult): string {
  const names = [...result.results.map((job) => job.job), 'Total'];
  const rows = [...result.results.map((job) => cells(String(job.core), job)), cells('', result.total)];
  const nameWidth = Math.max(...names.map((name) => name.length), 'disk'.length);
  const widths = HEAD.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i].length)));
  const line = (name: string, row: readonly string[]): string =>
    [name.padEnd(nameWidth), ...row.map((cell, i) => cell.padStart(widths[i]))].join('  ');
  const latencies = widths.slice(-LATENCIES).reduce((sum, width) => sum + width, 0) + 2 * (LATENCIES - 1);
  const before = nameWidth + widths.slice(0, -LATENCIES).reduce((sum, width) => sum + width + 2, 0) + 2;
  const lines = [
    ...result.results.map(jobLine),
    '',
    `${' '.repeat(before)}${'latency (us)'.padStart(latencies)}`,
    line('disk', HEAD),
    ...rows.map((row, i) => line(names[i], row)),
  ];
  for (const job of result.results) {
    if (job.percentiles_us !== undefined)
      lines.push(...percentileLines(`${job.job} on core ${job.core}`, job.percentiles_us));
  }
  if (result.results.length > 1 && result.total.percentiles_us !== undefined) {
    lines.push(...percentileLines('all jobs', result.total.percentiles_us));
  }
  return lines.join('\n');
}
