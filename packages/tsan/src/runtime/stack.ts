// Stacks of this thread, as V8 gives them, with places in the source as its author wrote it, without the frames of the sanitizer itself.

import type { Frame } from '../report/report.ts';

export type ResolvePosition = (
  file: string,
  line: number,
  column: number,
) => { readonly file: string; readonly line: number; readonly column: number } | undefined;

let resolvePosition: ResolvePosition = () => undefined;

/** How places in rewritten code become places in the source: load/ knows. */
export function setPositionResolver(resolve: ResolvePosition): void {
  resolvePosition = resolve;
}

const own = ['runtime/', 'own/', 'load/', 'report/', 'index.'].map(
  (path) => new URL(`../${path}`, import.meta.url).href,
);
const ownTests = /\.(test|fuzz|fixture)\.[jt]s$/;
const framesMax = 32;
const { captureStackTrace } = Error;

/** Where text that was evaluated was evaluated, in what V8 calls its eval origin: guarded.ts makes functions so. */
const evaluatedIn = /^eval at .*?\((file:[^)]*):\d+:\d+\)$/;

function isOwn(file: string): boolean {
  const maker = evaluatedIn.exec(file)?.[1] ?? file;
  return own.some((folder) => maker.startsWith(folder)) && !ownTests.test(maker);
}

/** Innermost frame first. */
export function captureStack(): Frame[] {
  const limit = Error.stackTraceLimit;
  const prepare = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace');
  let sites: readonly NodeJS.CallSite[] = [];
  try {
    Error.stackTraceLimit = framesMax + 12;
    Object.defineProperty(Error, 'prepareStackTrace', {
      configurable: true,
      writable: true,
      value: (_: Error, all: NodeJS.CallSite[]) => all,
    });
    const holder: { stack?: unknown } = {};
    captureStackTrace(holder, captureStack);
    if (Array.isArray(holder.stack)) sites = holder.stack as NodeJS.CallSite[];
  } finally {
    if (prepare === undefined) Reflect.deleteProperty(Error, 'prepareStackTrace');
    else Object.defineProperty(Error, 'prepareStackTrace', prepare);
    Error.stackTraceLimit = limit;
  }
  return framesFrom(sites);
}

function framesFrom(sites: readonly NodeJS.CallSite[]): Frame[] {
  const frames: Frame[] = [];
  for (const site of sites) {
    const file = site.getFileName() ?? site.getEvalOrigin() ?? '';
    if (file === '' || isOwn(file)) continue;
    const line = site.getLineNumber() ?? 0;
    const column = site.getColumnNumber() ?? 0;
    const place = resolvePosition(file, line, column) ?? { file, line, column };
    frames.push({ function: nameOf(site), ...place, file: pathOf(place.file) });
    if (frames.length === framesMax) break;
  }
  // Node's own frames at the outer end say nothing about the program.
  while (frames.length > 1 && frames.at(-1)!.file.startsWith('node:')) frames.pop();
  return frames;
}

function nameOf(site: NodeJS.CallSite): string {
  const name = site.getFunctionName() ?? '';
  if (name === '' || site.isToplevel()) return name;
  const type = site.getTypeName();
  if (site.isConstructor()) return `new ${name}`;
  return type === null || name.includes('.') ? name : `${type}.${name}`;
}

function pathOf(file: string): string {
  if (!file.startsWith('file://')) return file;
  try {
    return decodeURIComponent(new URL(file).pathname);
  } catch {
    return file;
  }
}
