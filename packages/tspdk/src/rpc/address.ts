/**
 * Where a JSON-RPC server listens: a path (unix socket) or a loopback address with a port.
 *
 * The interface has no authentication, and its methods can do anything the process can: so a socket file with mode
 * 0600, or loopback when asked, and nothing else.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { SpdkError } from '../env/errors.ts';

export type RpcAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** SPDK's default socket (SPDK_DEFAULT_RPC_ADDR). */
export const RPC_DEFAULT_PATH = '/var/tmp/spdk.sock';
/** SPDK's default port (rpc.py -p). */
export const RPC_DEFAULT_PORT = 5260;
/** sun_path without its final zero. */
const PATH_BYTES_MAX = 107;

/**
 * Reads `/a/path`, `./a/path`, `127.0.0.1:5260`, `[::1]:5260`, `localhost`, `::1`.
 * @throws {SpdkError} EINVAL when it is neither, ENAMETOOLONG when a path does not fit a socket address
 */
export function parseRpcAddress(text: string): RpcAddress {
  if (text.includes('/')) {
    const bytes = Buffer.byteLength(text);
    if (bytes > PATH_BYTES_MAX || text.includes('\0')) {
      throw new SpdkError(
        'ENAMETOOLONG',
        `RPC socket path '${text}' has ${bytes} bytes; at most ${PATH_BYTES_MAX} fit`,
      );
    }
    return { path: text };
  }
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text);
  const host = isIPv6(text) ? text : (match?.[1] ?? match?.[2] ?? '');
  const port = isIPv6(text) || match?.[3] === undefined ? RPC_DEFAULT_PORT : Number(match[3]);
  if (host === '' || port > 65535) {
    throw new SpdkError('EINVAL', `RPC address '${text}' is neither a path (with a slash) nor host:port`);
  }
  return { host, port };
}

/** The address as text, as `parseRpcAddress` reads it. */
export function formatRpcAddress(address: RpcAddress): string {
  if ('path' in address) return address.path;
  return isIPv6(address.host) ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Whether only this machine reaches the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}
