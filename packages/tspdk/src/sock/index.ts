/**
 * Stream sockets for reactors: `openSockGroup` for connections, `listen` for accepting them. See `types.ts` for what they promise.
 */
import type { Ring } from '../env/uring.ts';
import { NodeSockGroup } from './node.ts';
import { listenNode } from './node-listener.ts';
import type { Listener, ListenHandler, SockAddress, SockGroup } from './types.ts';
import { UringSockGroup } from './uring.ts';
import { listenUring } from './uring-listener.ts';

export { handOver } from './hand-over.ts';
export {
  formatHostPort,
  type Listener,
  type ListenHandler,
  type Sock,
  type SockAddress,
  type SockGroup,
  type SockHandler,
} from './types.ts';

/** The group of a reactor: on its ring, or on Node's sockets where it has none. */
export function openSockGroup(reactor: { readonly ring: Ring | null }): SockGroup {
  return reactor.ring === null ? new NodeSockGroup() : new UringSockGroup(reactor.ring);
}

/**
 * Listens, with the app core's group, which is polled. Connections come to `handler.onAccept` as descriptors.
 * @throws {SpdkError} EADDRINUSE, EADDRNOTAVAIL, EACCES, ENAMETOOLONG ...: the message names the address.
 */
export function listen(group: SockGroup, address: SockAddress, handler: ListenHandler): Promise<Listener> {
  if (group instanceof UringSockGroup) return listenUring(group, address, handler);
  return listenNode(group as NodeSockGroup, address, handler);
}
