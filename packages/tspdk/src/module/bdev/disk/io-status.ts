/**
 * How an I/O of a user's disk ends: from what their code throws, or says by name, to the number that the block layer carries (0 or a negative Linux errno).
 */
import { constants } from 'node:os';
import { inspect } from 'node:util';
import { type ErrorCode, errnoOf, errorCodes } from '../../../env/errors.ts';

/** A status that can only be 0 or what `ioStatus` gave, so that nobody completes an I/O with a positive errno, or a count of bytes. */
export type IoStatus = 0 | (number & { readonly __ioStatus: true });

const KNOWN = new Set<string>(errorCodes().map(({ code }) => code));
const EIO = -errnoOf('EIO');
/** Steps into `cause`: fetch and others put the reason there. */
const CAUSES_MAX = 4;
/** What only Linux numbers as the block layer does. */
const systemErrnos: Readonly<Record<string, number | undefined>> = process.platform === 'linux' ? constants.errno : {};

/** The status that is named `code`. At load, not for each I/O. */
export function ioStatus(code: ErrorCode): IoStatus {
  return -errnoOf(code) as IoStatus;
}

/**
 * The status for something thrown: its `code`, or that of what caused it, when it names an error ('ENOSPC', 'EROFS', 'EPERM', ...). An AbortError is
 * ECANCELED, a TimeoutError ETIMEDOUT, anything else EIO. ENOMEM is EIO too, as the layer takes it for "again, soon" and the disk would never fail.
 */
export function statusOfThrown(thrown: unknown): IoStatus {
  try {
    return statusNamedBy(thrown);
  } catch {
    // It cannot even be looked at: a getter of theirs throws.
    return EIO as IoStatus;
  }
}

/** What the log says of something thrown: an error's stack. Never throws, whatever that is. */
export function textOfThrown(thrown: unknown): string {
  try {
    if (thrown instanceof Error && typeof thrown.stack === 'string') return thrown.stack;
  } catch {
    // Its message may be had.
  }
  return messageOfThrown(thrown);
}

/** An error's message, or what else was thrown as text. Never throws. */
export function messageOfThrown(thrown: unknown): string {
  try {
    if (thrown instanceof Error) return String(thrown.message);
    return typeof thrown === 'object' ? inspect(thrown, { depth: 1 }) : String(thrown);
  } catch {
    return 'something that cannot be looked at was thrown';
  }
}

function statusNamedBy(thrown: unknown): IoStatus {
  let error = thrown;
  for (let i = 0; i < CAUSES_MAX && typeof error === 'object' && error !== null; i++) {
    const { code, name, cause } = error as { code?: unknown; name?: unknown; cause?: unknown };
    if (typeof code === 'string' && code !== 'ENOMEM') {
      if (KNOWN.has(code)) return ioStatus(code as ErrorCode);
      const errno = Object.hasOwn(systemErrnos, code) ? systemErrnos[code] : undefined;
      if (errno !== undefined) return -errno as IoStatus;
    }
    if (name === 'AbortError') return ioStatus('ECANCELED');
    if (name === 'TimeoutError') return ioStatus('ETIMEDOUT');
    error = cause;
  }
  return EIO as IoStatus;
}
