// What the sanitizer has to say of one finding, before anybody decides how it looks. The runtime fills it in, text.ts, json.ts and sarif.ts print it.
// Everything is plain data: a report may be written by one thread and read by another, or by another process.

/** The class of a finding. The first four are data races by ECMA-262's memory model, the others break what annotations promised. */
export type Kind = 'plain/plain' | 'plain/atomic' | 'mixed-size' | 'may-tear' | 'ownership' | 'lock' | 'deadlock';

export const kinds: readonly Kind[] = [
  'plain/plain',
  'plain/atomic',
  'mixed-size',
  'may-tear',
  'ownership',
  'lock',
  'deadlock',
];

/** A place in the program, in the source as its author wrote it. `line` and `column` count from 1; 0 is unknown. */
export interface Frame {
  /** Empty at the top level of a module. */
  readonly function: string;
  /** A path, or a URL that has none (`node:internal/...`, `data:...`). */
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Innermost frame first. Empty: could not be restored. */
export type Stack = readonly Frame[];

export interface Thread {
  /** The sanitizer's number: 0 is the main thread, and no number is used twice in a process. */
  readonly id: number;
  /** Node's `threadId`. */
  readonly tid: number;
  readonly name?: string;
  readonly running: boolean;
  /** Who created it, and where. The main thread has neither. */
  readonly parent?: number;
  readonly stack?: Stack;
}

/** `free` is that of an annotated block, `touch` any access through an annotation. */
export type Op =
  | 'read'
  | 'write'
  | 'read-modify-write'
  | 'atomic read'
  | 'atomic write'
  | 'atomic read-modify-write'
  | 'free'
  | 'alloc'
  | 'handoff'
  | 'lock'
  | 'unlock'
  | 'destroy'
  | 'wait'
  | 'touch';

export interface Access {
  readonly op: Op;
  /** Bytes, and the first one's offset in the buffer. Both 0 where no memory is accessed (locks). */
  readonly size: number;
  readonly offset: number;
  readonly thread: number;
  readonly stack: Stack;
  /** Ids of the annotated locks that the thread held. */
  readonly locks?: readonly number[];
}

export interface Location {
  /** The buffer's id in this process. */
  readonly buffer: number;
  /** The whole buffer in bytes. */
  readonly size: number;
  /** What the program calls it (an annotation, or a known place such as `Worker stdio`). */
  readonly name?: string;
  readonly thread: number;
  readonly stack: Stack;
  /** The annotated block around the access, where there is one. */
  readonly block?: {
    readonly offset: number;
    readonly size: number;
    /** `affine`, `transferable`, `pool` or `shared`. */
    readonly region: string;
    readonly freed: boolean;
    readonly thread: number;
    readonly stack: Stack;
  };
}

export interface Lock {
  readonly id: number;
  readonly name?: string;
  readonly stack: Stack;
}

export interface Report {
  readonly kind: Kind;
  /** TSan's words behind `WARNING: ThreadSanitizer: `, such as `data race` or `double lock of a mutex`. */
  readonly title: string;
  /** One sentence on the rule that was broken, where the title does not say it. */
  readonly rule?: string;
  /** The access that found it, then the one before. An ownership or lock report may have one, a deadlock one for each waiter. */
  readonly accesses: readonly Access[];
  readonly location?: Location;
  readonly locks?: readonly Lock[];
  /** Every thread that is named above, the main one too. */
  readonly threads: readonly Thread[];
}

/** The frame a reader should look at: the innermost one of the program of the access that found it. */
export function place(report: Report): Frame | undefined {
  for (const { stack } of report.accesses) {
    const own = stack.find(({ file }) => !file.startsWith('node:')) ?? stack[0];
    if (own !== undefined) return own;
  }
  return undefined;
}

/** Equal for reports that say the same: of the same kind, at the same places, whichever came first. */
export function keyOf(report: Report): string {
  const sides = report.accesses.map(({ op, stack }) => {
    const at = stack.map(({ function: name, file, line, column }) => `${name} ${file}:${line}:${column}`);
    return `${op}@${at.join('<')}`;
  });
  const where = sides.length > 0 ? sides.sort().join('|') : (report.rule ?? '');
  return `${report.kind}|${report.title}|${where}`;
}
