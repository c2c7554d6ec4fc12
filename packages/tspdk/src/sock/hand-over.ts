/**
 * From a socket of Node's to a descriptor that a group adopts. With FFI the descriptor is duplicated and Node's socket let go, so any backend and any reactor can have it; without, the
 * Node group of this thread keeps the socket until it is adopted.
 */
import type { Socket } from 'node:net';
import { ffi } from '../env/ffi.ts';
import { fdOf, type NodeSockGroup } from './node.ts';
import type { SockGroup } from './types.ts';

const F_DUPFD_CLOEXEC = 1030;

/** The descriptor to adopt or refuse; negative when there is none left. Nothing must have been read ahead from `socket`, which is nobody's afterwards. */
export function handOver(group: SockGroup | null, socket: Socket): number {
  const fd = fdOf(socket);
  if (ffi !== null) {
    const own = ffi.fcntl(fd, F_DUPFD_CLOEXEC, 0);
    socket.destroy();
    return own;
  }
  // It may break before it is adopted, and that is nobody's concern yet.
  socket.on('error', () => {});
  (group as NodeSockGroup).park(fd, socket);
  return fd;
}
