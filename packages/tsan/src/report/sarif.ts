// Reports as one SARIF 2.1.0 log, for tools that annotate source code: GitHub code scanning shows a result at its first location, and the other access,
// the allocation and the threads as related places below it. Paths are made relative to the repository's root, as GitHub needs them.

import { relative, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Frame, type Kind, keyOf, place, type Report, type Stack } from './report.ts';
import { accessName, ruleOf, summaryOf, threadName } from './text.ts';

/** SARIF's own names below (section numbers are those of the OASIS standard, version 2.1.0). */
interface Location {
  readonly id?: number;
  readonly physicalLocation?: {
    readonly artifactLocation: { readonly uri: string; readonly uriBaseId?: string };
    readonly region?: { readonly startLine: number; readonly startColumn?: number };
  };
  readonly logicalLocations?: readonly { readonly fullyQualifiedName: string; readonly kind: string }[];
  readonly message?: { readonly text: string };
}

const descriptions: Record<Kind, string> = {
  'plain/plain': 'Two threads access the same bytes, at least one writes, and nothing orders them.',
  'plain/atomic': 'A plain access and an atomic one of the same bytes are not ordered.',
  'mixed-size': 'Two atomic accesses of ranges that overlap but differ are not ordered.',
  'may-tear': 'Unordered accesses of which one may be torn: a value can be read that nobody wrote.',
  ownership: 'A block of memory is touched or freed by a thread that does not own it, or after its end.',
  lock: 'A lock is used against its rules.',
  deadlock: 'Threads wait for each other, or for nobody.',
};

/**
 * The log of one process.
 * @param root absolute path of the repository; places outside it keep their absolute URI
 */
export function sarifOf(reports: readonly Report[], root: string, version: string): object {
  const rules = Object.entries(descriptions).map(([kind, text]) => ({
    id: ruleId(kind),
    name: kind.replace(/(^|\W)(\w)/g, (_, _joint, letter: string) => letter.toUpperCase()),
    shortDescription: { text },
    fullDescription: { text },
    help: { text: `${text} See the README of @tspdk/tsan, "Reading a report".` },
    defaultConfiguration: { level: 'error' },
    properties: { tags: ['concurrency', 'correctness'], precision: 'very-high', 'problem.severity': 'error' },
  }));
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: '@tspdk/tsan', semanticVersion: version, rules } },
        columnKind: 'utf16CodeUnits',
        originalUriBaseIds: { '%SRCROOT%': { uri: `${pathToFileURL(root).href.replace(/\/$/, '')}/` } },
        results: reports.map((report) => resultOf(report, root)),
      },
    ],
  };
}

function ruleId(kind: string): string {
  return `tsan/${kind.replace('/', '-')}`;
}

function resultOf(report: Report, root: string): object {
  const frame = place(report);
  const rule = ruleOf(report);
  return {
    ruleId: ruleId(report.kind),
    ruleIndex: Object.keys(descriptions).indexOf(report.kind),
    level: 'error',
    message: { text: [summaryOf(report, `${root}${sep}`), rule, ...sidesOf(report, root)].filter(Boolean).join('\n') },
    // GitHub drops a result without a place, and takes the first of several.
    locations: frame === undefined ? [] : [locationOf(frame, root)],
    relatedLocations: relatedOf(report, root).map((location, index) => ({ id: index + 1, ...location })),
    stacks: report.accesses.map((access, index) => ({
      message: { text: `${accessName(access, index > 0)} by ${threadName(access.thread)}` },
      frames: access.stack.map((each) => ({ location: locationOf(each, root) })),
    })),
    partialFingerprints: { 'jstsanKey/v1': fingerprint(report, root) },
  };
}

function sidesOf(report: Report, root: string): string[] {
  return report.accesses.map((access, index) => {
    const [top] = access.stack;
    const at = top === undefined ? '' : ` at ${uriOf(top.file, root).uri}:${top.line}`;
    return `${accessName(access, index > 0 && report.kind !== 'deadlock')} by ${threadName(access.thread)}${at}`;
  });
}

function relatedOf(report: Report, root: string): Location[] {
  const found: Location[] = [];
  const add = (stack: Stack | undefined, text: string) => {
    if (stack?.[0] !== undefined) found.push({ ...locationOf(stack[0], root), message: { text } });
  };
  report.accesses.slice(1).forEach((access) => {
    add(access.stack, `${accessName(access, report.kind !== 'deadlock')} by ${threadName(access.thread)}`);
  });
  if (report.location !== undefined) {
    const { location } = report;
    if (location.block !== undefined)
      add(location.block.stack, `${location.block.region} block ${location.block.freed ? 'freed' : 'allocated'} here`);
    add(location.stack, `SharedArrayBuffer of size ${location.size} allocated by ${threadName(location.thread)}`);
  }
  for (const thread of report.threads) if (thread.id !== 0) add(thread.stack, `Thread T${thread.id} created here`);
  return found;
}

function locationOf(frame: Frame, root: string): Location {
  const logical =
    frame.function === '' ? {} : { logicalLocations: [{ fullyQualifiedName: frame.function, kind: 'function' }] };
  const column = frame.column > 0 ? { startColumn: frame.column } : {};
  const region = frame.line > 0 ? { region: { startLine: frame.line, ...column } } : {};
  return { physicalLocation: { artifactLocation: uriOf(frame.file, root), ...region }, ...logical };
}

function uriOf(file: string, root: string): { uri: string; uriBaseId?: string } {
  if (/^[a-z][a-z0-9+.-]+:/i.test(file)) return { uri: file };
  const inside = relative(root, file);
  if (inside === '' || inside.startsWith('..')) return { uri: pathToFileURL(file).href };
  return { uri: inside.split(sep).map(encodeURIComponent).join('/'), uriBaseId: '%SRCROOT%' };
}

/** The same for the same race in another checkout and another run: no absolute path, no address. */
function fingerprint(report: Report, root: string): string {
  return hash(keyOf(report).replaceAll(`${root}${sep}`, ''));
}

/** FNV-1a, 53 bits of it in two halves: only has to be stable and rarely equal. */
function hash(text: string): string {
  let low = 0x811c9dc5;
  let high = 0x01000193;
  for (let index = 0; index < text.length; index++) {
    low = Math.imul(low ^ text.charCodeAt(index), 0x01000193);
    high = Math.imul(high ^ text.charCodeAt(index), 0x85ebca6b);
  }
  return [low, high].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
}
