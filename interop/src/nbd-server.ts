// What an NBD server is to a check: where it listens, how it is stopped, and what is asked of it when it starts.

export type ServerKind = 'tspdk' | 'nbdkit' | 'qemu-nbd';

export interface ServerOptions {
  readonly sizeBytes: number;
  /** Served from this file instead of memory; it must exist and have `sizeBytes`. */
  readonly file?: string;
  readonly transport?: 'unix' | 'tcp';
  /** How tspdk is set up; the others have no such thing. */
  readonly reactors?: 1 | 2;
  readonly poll?: boolean;
  /** Instead of memory or `file`: calls that make tspdk's disk "disk", of `sizeBytes`. */
  readonly bdevs?: readonly object[];
  /** Environment variables for the server. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Where clients connect to: a unix socket, or a port on loopback. */
export type Address = { readonly path: string } | { readonly port: number };

export interface Server {
  readonly kind: ServerKind;
  readonly pid: number;
  readonly address: Address;
  readonly exportName: string;
  /** The disk's NBD URI, as libnbd, QEMU and fio understand it. */
  readonly uri: string;
  /** Asks it to stop, and fails unless it does so cleanly. */
  stop(): Promise<void>;
  /** kill -9. */
  kill(): Promise<void>;
}

/** The NBD URI of an export. */
export function nbdUri(address: Address, exportName: string): string {
  const name = encodeURIComponent(exportName);
  if ('path' in address) return `nbd+unix:///${name}?socket=${address.path}`;
  return `nbd://127.0.0.1:${address.port}/${name}`;
}

/** What `net.connect` wants. */
export function connectOptions(address: Address): { path: string } | { host: string; port: number } {
  return 'path' in address ? address : { host: '127.0.0.1', port: address.port };
}
