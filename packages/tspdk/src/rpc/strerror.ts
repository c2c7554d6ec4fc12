/**
 * The texts of Linux error numbers, as the C library words them.
 *
 * SPDK answers a failed call with `-errno` and this text, and clients compare it. Node's own texts differ, and are
 * not there on every platform. Only numbers that `env/errors.ts` lists are needed.
 */
const TEXTS: ReadonlyMap<number, string> = new Map([
  [1, 'Operation not permitted'],
  [2, 'No such file or directory'],
  [4, 'Interrupted system call'],
  [5, 'Input/output error'],
  [9, 'Bad file descriptor'],
  [11, 'Resource temporarily unavailable'],
  [12, 'Cannot allocate memory'],
  [13, 'Permission denied'],
  [14, 'Bad address'],
  [16, 'Device or resource busy'],
  [17, 'File exists'],
  [19, 'No such device'],
  [22, 'Invalid argument'],
  [24, 'Too many open files'],
  [27, 'File too large'],
  [28, 'No space left on device'],
  [30, 'Read-only file system'],
  [32, 'Broken pipe'],
  [34, 'Numerical result out of range'],
  [35, 'Resource deadlock avoided'],
  [36, 'File name too long'],
  [38, 'Function not implemented'],
  [71, 'Protocol error'],
  [75, 'Value too large for defined data type'],
  [84, 'Invalid or incomplete multibyte or wide character'],
  [95, 'Operation not supported'],
  [98, 'Address already in use'],
  [99, 'Cannot assign requested address'],
  [104, 'Connection reset by peer'],
  [108, 'Cannot send after transport endpoint shutdown'],
  [110, 'Connection timed out'],
  [111, 'Connection refused'],
  [114, 'Operation already in progress'],
  [115, 'Operation now in progress'],
  [125, 'Operation canceled'],
]);

/** The text of a positive errno (spdk_strerror). */
export function strerror(errno: number): string {
  return TEXTS.get(errno) ?? `Unknown error ${errno}`;
}
