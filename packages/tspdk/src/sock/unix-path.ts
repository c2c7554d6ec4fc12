/**
 * The file of a unix socket: taken over when it is left behind, refused when somebody answers, removed at the end.
 *
 * A socket file outlives a killed process. It counts as left behind when a connection to it is refused; between that check and the
 * bind another process could do the same, so whoever needs certainty (the RPC server) holds a lock file as well. Control path.
 */
import { lstatSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { SpdkError } from '../env/errors.ts';
import { UNIX_PATH_BYTES_MAX } from './native-address.ts';

/**
 * Makes `path` free to bind.
 * @throws {SpdkError} EADDRINUSE when somebody listens there, or when it is no socket; ENAMETOOLONG; ENOENT when the folder is missing.
 */
export async function claimUnixPath(path: string): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > UNIX_PATH_BYTES_MAX) {
    throw new SpdkError('ENAMETOOLONG', `socket path ${path} is ${bytes} bytes, limit ${UNIX_PATH_BYTES_MAX}`);
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new SpdkError('EADDRINUSE', `cannot listen on ${path}: a file that is no socket is there`);
  if (await answers(path)) throw new SpdkError('EADDRINUSE', `cannot listen on ${path}: another process listens there`);
  rmSync(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    // Only a refusal (or a file that has just gone) proves that nobody is there; a full backlog or a denied access does not.
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

/** What tells our socket file from one that was put there later. */
export function socketIdentity(path: string): string {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found === undefined ? '' : `${found.dev}:${found.ino}`;
}

/** Removes the file if it is still the one with that identity. */
export function removeUnixPath(path: string, identity: string): void {
  if (identity !== '' && socketIdentity(path) === identity) rmSync(path, { force: true });
}
