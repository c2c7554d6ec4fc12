/**
 * Every error the kit raises on purpose: one class, one closed list of codes.
 *
 * A code is what a program matches, the message is what a person reads: it names the thing, the value and the limit.
 * `errno` is the positive Linux number that RPC replies and NBD replies carry. The list below is also the source of
 * the generated reference page, so a code cannot exist without its line of explanation.
 */

/** code -> [errno, what it means]. Kit-specific codes borrow the closest errno. */
const TABLE = {
  EPERM: [1, 'The caller may not do this.'],
  ENOENT: [2, 'No such thing: file, bdev, export, thread, method.'],
  EINTR: [4, 'A system call was interrupted.'],
  EIO: [5, 'The device failed the request.'],
  EBADF: [9, 'The descriptor is not open, or not open in that mode.'],
  EAGAIN: [11, 'Not now; the same call may succeed later.'],
  ENOMEM: [12, 'A pool, the shared heap or a queue is exhausted.'],
  EACCES: [13, 'The operating system denied access.'],
  EBUSY: [16, 'The thing is in use or already claimed.'],
  EEXIST: [17, 'The name is taken.'],
  ENODEV: [19, 'The device is not there, or no longer there.'],
  EINVAL: [22, 'A value is malformed or out of range.'],
  EMFILE: [24, 'Too many descriptors are open.'],
  EFBIG: [27, 'The value or file exceeds what can be addressed.'],
  ENOSPC: [28, 'No space is left: on a device, or in a table of fixed size.'],
  EROFS: [30, 'The device or descriptor is read-only.'],
  EPIPE: [32, 'The peer closed the connection.'],
  ERANGE: [34, 'A number does not fit its field.'],
  EDEADLK: [35, 'Going on would deadlock.'],
  ENAMETOOLONG: [36, 'A name is longer than its field.'],
  ENOSYS: [38, 'The operation does not exist here.'],
  EPROTO: [71, 'The peer broke the protocol.'],
  EOVERFLOW: [75, 'A value is too large for its type.'],
  EILSEQ: [84, 'A disk holds something else than what it was compared with.'],
  ENOTSUP: [95, 'The operation is known and not supported by this object.'],
  EADDRINUSE: [98, 'The address or socket path is in use.'],
  EADDRNOTAVAIL: [99, 'The address cannot be bound here.'],
  ECONNREFUSED: [111, 'Nobody listens there.'],
  ECONNRESET: [104, 'The peer reset the connection.'],
  ESHUTDOWN: [108, 'The reactor, app or device is stopping: nothing new is accepted.'],
  ETIMEDOUT: [110, 'It did not finish in the time given.'],
  EALREADY: [114, 'It is already under way.'],
  EINPROGRESS: [115, 'It has begun and is not finished.'],
  ECANCELED: [125, 'It was aborted before it was done.'],
  EOWNER: [1, 'A block was freed on another core than the one that allocated it.'],
  EDOUBLEFREE: [22, 'A block was freed twice.'],
  EBADPTR: [14, 'The pointer was never returned by alloc, or points inside a block.'],
  EWRONGTHREAD: [1, 'The call belongs to another thread.'],
  ELEAK: [5, 'Blocks or buffers were still held at the end.'],
  ESPIN: [35, 'A spin lock was misused; the message says how.'],
} as const satisfies Record<string, readonly [number, string]>;

/** A code of the closed list in this file. */
export type ErrorCode = keyof typeof TABLE;

/** The kit's one error class. */
export class SpdkError extends Error {
  readonly code: ErrorCode;
  /** Positive Linux errno. */
  readonly errno: number;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SpdkError';
    this.code = code;
    this.errno = TABLE[code][0];
  }
}

/** What was to be used is no more. */
export function isGone(error: unknown): boolean {
  return error instanceof SpdkError && error.code === 'ENODEV';
}

/** All codes with errno and explanation, for the generated reference. */
export function errorCodes(): { code: ErrorCode; errno: number; summary: string }[] {
  return (Object.keys(TABLE) as ErrorCode[]).map((code) => ({ code, errno: TABLE[code][0], summary: TABLE[code][1] }));
}

const byErrno = new Map<number, ErrorCode>();
for (const code of Object.keys(TABLE) as ErrorCode[]) {
  if (!byErrno.has(TABLE[code][0])) byErrno.set(TABLE[code][0], code);
}

/** The code for a positive errno; `EIO` when the number is not in the list. */
export function codeOfErrno(errno: number): ErrorCode {
  return byErrno.get(errno) ?? 'EIO';
}

/** The errno of a code. */
export function errnoOf(code: ErrorCode): number {
  return TABLE[code][0];
}

/**
 * The code and errno of anything thrown: a SpdkError's own, a Node system error's (`err.code`), else EIO.
 */
export function toSpdkError(error: unknown, what: string): SpdkError {
  if (error instanceof SpdkError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  const message = error instanceof Error ? error.message : String(error);
  return new SpdkError(typeof code === 'string' && code in TABLE ? (code as ErrorCode) : 'EIO', `${what}: ${message}`, {
    cause: error,
  });
}

/** States what must hold. Not for user input: that gets an SpdkError that names the value. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/**
 * An error as a person should read it: a SpdkError says it all in its message, unless it passes on somebody else's (a user's module that
 * throws), whose stack then follows; anything else is a fault of the program and shows its stack.
 */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!(error instanceof SpdkError)) return error.stack ?? error.message;
  const stack = passedOnStack(error);
  return stack === undefined ? error.message : `${error.message}\n${stack}`;
}

/** The stack of somebody else's error that a SpdkError passes on; undefined when there is none. */
export function passedOnStack(error: unknown): string | undefined {
  return error instanceof SpdkError && error.stack?.startsWith('SpdkError') === false ? error.stack : undefined;
}
