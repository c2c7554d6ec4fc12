// A report as ThreadSanitizer prints it, line by line, so that what reads its logs (IDEs, CI parsers, people) reads these.
// The one thing added is the line `Kind:`, behind the title: which rule of ECMA-262's memory model (29.11) was broken.

import { type Access, type Frame, place, type Report, type Stack, type Thread } from './report.ts';

const ruler = '==================';
const shownUrl = 60;

const rules: Record<string, string> = {
  'plain/atomic': 'one of the two accesses is not atomic',
  'mixed-size': 'both accesses are atomic, but of different ranges',
  'may-tear': 'an access of this type may be torn into parts',
};

/** The whole text of one report, with its rulers and a line end. */
export function textOf(report: Report, pid: number, strip = ''): string {
  const print = new Printer(strip);
  return [
    ruler,
    `WARNING: ThreadSanitizer: ${report.title} (pid=${pid})`,
    ...print.body(report),
    `SUMMARY: ${summaryOf(report, strip)}`,
    ruler,
    '',
  ].join('\n');
}

/** What stands behind `SUMMARY: `, and is the message of a SARIF result. */
export function summaryOf(report: Report, strip = ''): string {
  const frame = place(report);
  if (frame === undefined) return `ThreadSanitizer: ${report.title}`;
  return `ThreadSanitizer: ${report.title} ${positionOf(frame, strip)} in ${nameOf(frame)}`;
}

/** The sentence on the rule that was broken; undefined where the title says it all. */
export function ruleOf(report: Report): string | undefined {
  const rule = report.rule ?? rules[report.kind];
  return rule === undefined ? undefined : `${report.kind}: ${rule}`;
}

export function positionOf({ file, line, column }: Frame, strip = ''): string {
  const path = shortened(strip !== '' && file.startsWith(strip) ? file.slice(strip.length) : file);
  if (line === 0) return path;
  return column === 0 ? `${path}:${line}` : `${path}:${line}:${column}`;
}

/** A module that is its own URL is told by its beginning. */
function shortened(file: string): string {
  return file.startsWith('data:') && file.length > shownUrl ? `${file.slice(0, shownUrl)}...` : file;
}

function nameOf(frame: Frame): string {
  return frame.function === '' ? '<module>' : frame.function;
}

export function threadName(id: number): string {
  return id === 0 ? 'main thread' : `thread T${id}`;
}

/** `Write of size 4`, or `Previous atomic read of size 4`. */
export function accessName({ op, size }: Access, previous: boolean): string {
  const what = size > 0 ? `${op} of size ${size}` : op;
  return previous ? `Previous ${what}` : `${what[0]!.toUpperCase()}${what.slice(1)}`;
}

class Printer {
  private readonly strip: string;

  constructor(strip: string) {
    this.strip = strip;
  }

  body(report: Report): string[] {
    const lines = ruleOf(report) === undefined ? [] : [`  Kind: ${ruleOf(report)}`, ''];
    report.accesses.forEach((access, index) => {
      lines.push(...this.access(access, report, index > 0 && report.kind !== 'deadlock'));
    });
    if (report.location !== undefined) lines.push(...this.location(report.location));
    for (const { id, name, stack } of report.locks ?? []) {
      lines.push(`  Mutex M${id}${name === undefined ? '' : ` '${name}'`} created at:`, ...this.stack(stack));
    }
    for (const thread of report.threads) if (thread.id !== 0) lines.push(...this.thread(thread));
    return lines;
  }

  private access(access: Access, report: Report, previous: boolean): string[] {
    const buffer = report.location?.buffer;
    const address =
      access.size === 0 || buffer === undefined ? '' : ` at buffer ${buffer} offset 0x${hex(access.offset)}`;
    const locks = access.locks ?? [];
    const held = locks.length === 0 ? '' : ` (mutexes: ${locks.map((id) => `write M${id}`).join(', ')})`;
    const head = `  ${accessName(access, previous)}${address} by ${threadName(access.thread)}${held}:`;
    return [head, ...this.stack(access.stack)];
  }

  private location({ buffer, size, name, thread, stack, block }: NonNullable<Report['location']>): string[] {
    const lines: string[] = [];
    if (block !== undefined) {
      const state = block.freed ? 'freed' : 'allocated';
      const what = `${block.region} block of size ${block.size} at offset 0x${hex(block.offset)}`;
      lines.push(`  Location is ${what} of buffer ${buffer}, ${state} by ${threadName(block.thread)}:`);
      lines.push(...this.stack(block.stack));
    }
    const called = name === undefined ? '' : ` '${name}'`;
    const head = block === undefined ? 'Location is' : 'The block lies in';
    lines.push(`  ${head} SharedArrayBuffer ${buffer}${called} of size ${size} allocated by ${threadName(thread)}:`);
    return [...lines, ...this.stack(stack)];
  }

  private thread({ id, tid, name, running, parent, stack }: Thread): string[] {
    const called = name === undefined || name === '' ? '' : ` '${name}'`;
    const head = `  Thread T${id}${called} (tid=${tid}, ${running ? 'running' : 'finished'}) created by ${threadName(parent ?? 0)}`;
    return stack === undefined ? [head, ''] : [`${head} at:`, ...this.stack(stack)];
  }

  private stack(stack: Stack): string[] {
    if (stack.length === 0) return ['    [failed to restore the stack]', ''];
    const lines = stack.map((frame, index) => `    #${index} ${nameOf(frame)} ${positionOf(frame, this.strip)}`);
    return [...lines, ''];
  }
}

function hex(offset: number): string {
  return offset.toString(16);
}
