/**
 * Where an NBD server listens, and how clients name it: NBD URIs (the URI document of the NetworkBlockDevice project) and the short
 * forms people type.
 *
 *     nbd://host:port/export    nbd+unix:///export?socket=PATH    unix:PATH    PATH    HOST:PORT    :PORT
 *
 * A short form with a slash is a path. Pure functions; any thread.
 */
import { SpdkError } from '../env/errors.ts';
import { formatHostPort, type SockAddress } from '../sock/index.ts';

/** The port that IANA has assigned. */
export const NBD_DEFAULT_PORT = 10809;
const DEFAULT_HOST = '127.0.0.1';

/** A server, and the export that is meant; an empty name is the default export. */
export interface NbdAddress {
  readonly address: SockAddress;
  readonly exportName: string;
}

function bad(text: string, why: string): SpdkError {
  return new SpdkError(
    'EINVAL',
    `NBD address "${text}": ${why}; give nbd://HOST:PORT/EXPORT, nbd+unix:///EXPORT?socket=PATH, unix:PATH, HOST:PORT or :PORT`,
  );
}

/** @throws {SpdkError} EINVAL, saying what is wrong and what would be right. */
export function parseNbdAddress(text: string): NbdAddress {
  if (text === '') throw bad(text, 'it is empty');
  if (/^nbds(\+unix)?:/.test(text)) throw bad(text, 'TLS is not supported');
  if (/^nbd(\+unix)?:\/\//.test(text)) return parseUri(text);
  if (text.startsWith('unix:')) return parsePath(text, text.slice('unix:'.length));
  if (text.includes('/')) return parsePath(text, text);
  return { address: parseHostPort(text, text), exportName: '' };
}

function parsePath(text: string, path: string): NbdAddress {
  if (path === '') throw bad(text, 'the path is empty');
  if (path.includes('\0')) throw bad(text, 'the path contains a NUL character');
  return { address: { path }, exportName: '' };
}

function parseUri(text: string): NbdAddress {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw bad(text, 'it is not a valid URI');
  }
  let exportName: string;
  try {
    exportName = decodeURIComponent(url.pathname.replace(/^\//, ''));
  } catch {
    throw bad(text, 'the export name is not properly encoded');
  }
  if (url.protocol === 'nbd+unix:') {
    const path = url.searchParams.get('socket') ?? '';
    if (path === '') throw bad(text, 'there is no socket=PATH');
    return { ...parsePath(text, path), exportName };
  }
  // Node keeps the brackets of an IPv6 address.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? NBD_DEFAULT_PORT : Number(url.port);
  return { address: { host: host === '' ? DEFAULT_HOST : host, port }, exportName };
}

function parseHostPort(text: string, given: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]*))(?::(\d+))?$/.exec(given);
  if (match === null) throw bad(text, 'it is neither a path nor HOST:PORT');
  const host = match[1] ?? match[2];
  const port = match[3] === undefined ? NBD_DEFAULT_PORT : Number(match[3]);
  if (port > 65535) throw bad(text, `port ${port} is above 65535`);
  return { host: host === '' ? DEFAULT_HOST : host, port };
}

/** The URI under which clients reach `exportName` at a listening server. A wildcard host becomes the loopback one. */
export function formatNbdUri(address: SockAddress, exportName: string): string {
  const name = encodeURIComponent(exportName).replaceAll('%2F', '/');
  // Only what would end the parameter needs encoding; slashes stay readable.
  if ('path' in address) {
    const path = encodeURIComponent(address.path).replaceAll('%2F', '/');
    return `nbd+unix:///${name}?socket=${path}`;
  }
  const any = address.host === '0.0.0.0' || address.host === '::' || address.host === '';
  return `nbd://${formatHostPort(any ? 'localhost' : address.host, address.port)}/${name}`;
}
