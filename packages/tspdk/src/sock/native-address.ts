/**
 * Socket addresses as the kernel wants them (`struct sockaddr`), and descriptors made from them. Control path; needs FFI.
 */
import { lookup } from 'node:dns/promises';
import { codeOfErrno, SpdkError } from '../env/errors.ts';
import type { Ffi } from '../env/ffi.ts';
import { formatHostPort, UNIX_PEER, UNKNOWN_PEER } from './types.ts';

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_SNDBUF = 7;
const SO_RCVLOWAT = 18;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const SOCKADDR_BYTES = 128;
/** Bytes of a path in `struct sockaddr_un`, without the zero that ends it. */
export const UNIX_PATH_BYTES_MAX = 107;
/** Connections that wait to be accepted; the kernel caps it at net.core.somaxconn. */
const BACKLOG = 4096;

/** `struct sockaddr_in` or `sockaddr_in6` of a numeric address. */
export function encodeInet(address: string, family: number, port: number): Buffer {
  if (family === 4) {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt16LE(AF_INET, 0);
    bytes.writeUInt16BE(port, 2);
    for (const [at, part] of address.split('.').entries()) bytes[4 + at] = Number(part);
    return bytes;
  }
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  for (const [at, word] of parseIpv6(address).entries()) bytes.writeUInt16BE(word, 8 + at * 2);
  return bytes;
}

/** The eight 16-bit words of an IPv6 address; a zone ("%eth0") is left out. */
export function parseIpv6(address: string): number[] {
  const plain = address.split('%')[0];
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(plain);
  const text =
    dotted === null
      ? plain
      : `${dotted[1]}${((Number(dotted[2]) << 8) | Number(dotted[3])).toString(16)}:${((Number(dotted[4]) << 8) | Number(dotted[5])).toString(16)}`;
  const [head, tail] = text.split('::');
  const words = (part: string | undefined) => (part ? part.split(':').map((word) => Number.parseInt(word, 16)) : []);
  if (tail === undefined) return words(head);
  const before = words(head);
  const after = words(tail);
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** Who stands at the other end, from a `struct sockaddr`. */
export function decodeSockaddr(bytes: Uint8Array): { host: string; port: number } {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const family = view.readUInt16LE(0);
  if (family === AF_INET) return { host: view.subarray(4, 8).join('.'), port: view.readUInt16BE(2) };
  if (family !== AF_INET6) return { host: UNIX_PEER, port: 0 };
  const words = Array.from({ length: 8 }, (_, at) => view.readUInt16BE(8 + at * 2));
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) {
    return { host: view.subarray(20, 24).join('.'), port: view.readUInt16BE(2) };
  }
  return { host: compressIpv6(words), port: view.readUInt16BE(2) };
}

function compressIpv6(words: number[]): string {
  // The URL parser knows RFC 5952: lower case, the longest run of zeroes shortened.
  return new URL(`http://[${words.map((word) => word.toString(16)).join(':')}]/`).hostname.slice(1, -1);
}

function name(ffi: Ffi, fd: number, peer: boolean): { host: string; port: number } | null {
  const at = ffi.calloc(SOCKADDR_BYTES + 16);
  try {
    new Int32Array(ffi.viewOf(at + SOCKADDR_BYTES, 4))[0] = SOCKADDR_BYTES;
    const call = peer ? ffi.getpeername : ffi.getsockname;
    if (call(fd, at, at + SOCKADDR_BYTES) !== 0) return null;
    return decodeSockaddr(new Uint8Array(ffi.viewOf(at, SOCKADDR_BYTES)));
  } finally {
    ffi.free(at);
  }
}

/** The peer of a connection, for the log. */
export function peerName(ffi: Ffi, fd: number): string {
  const peer = name(ffi, fd, true);
  if (peer === null) return UNKNOWN_PEER;
  return peer.host === UNIX_PEER ? UNIX_PEER : formatHostPort(peer.host, peer.port);
}

/** The port that a listening socket got. */
export function localPort(ffi: Ffi, fd: number): number {
  return name(ffi, fd, false)?.port ?? 0;
}

/** Small messages leave at once. No effect on a unix socket. */
export function setNoDelay(ffi: Ffi, fd: number): void {
  setOption(ffi, fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

/** Asks for room for `bytes` of unread data at the peer; the system caps it (net.core.wmem_max). */
export function setSendBuffer(ffi: Ffi, fd: number, bytes: number): void {
  setOption(ffi, fd, SOL_SOCKET, SO_SNDBUF, bytes);
}

/** The socket is readable when so many bytes are there as the 32-bit word at `wordAddress` says; what polls it is told at once. TCP only. */
export function setReceiveLow(ffi: Ffi, fd: number, wordAddress: number): void {
  ffi.setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, wordAddress, 4);
}

function setOption(ffi: Ffi, fd: number, level: number, option: number, value: number): void {
  const at = ffi.calloc(4);
  new Int32Array(ffi.viewOf(at, 4))[0] = value;
  ffi.setsockopt(fd, level, option, at, 4);
  ffi.free(at);
}

/** The errno of a failed bind or listen, as an error that names the address. */
export function listenError(errno: number, address: string): SpdkError {
  const texts: Record<number, string> = {
    13: 'permission denied',
    98: 'the address is in use',
    99: 'the address is not one of this machine',
  };
  return new SpdkError(codeOfErrno(errno), `cannot listen on ${address}: ${texts[errno] ?? `errno ${errno}`}`);
}

/** A bound and listening descriptor. @throws {SpdkError} EADDRINUSE, EADDRNOTAVAIL, EACCES, EMFILE, ENOENT (unknown host) ... */
export async function listenInet(ffi: Ffi, host: string, port: number): Promise<number> {
  const found = await lookup(host).catch((error: Error) => {
    throw new SpdkError('EADDRNOTAVAIL', `cannot listen on ${formatHostPort(host, port)}: ${error.message}`);
  });
  return listenOn(
    ffi,
    found.family === 4 ? AF_INET : AF_INET6,
    encodeInet(found.address, found.family, port),
    formatHostPort(host, port),
  );
}

/** The same for a path that is free. `beforeListen` runs when the file exists and nobody can connect yet. */
export function listenUnix(ffi: Ffi, path: string, beforeListen: () => void): number {
  const bytes = Buffer.from(path);
  const sockaddr = Buffer.alloc(2 + bytes.length + 1);
  sockaddr.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(sockaddr, 2);
  return listenOn(ffi, AF_UNIX, sockaddr, path, beforeListen);
}

function listenOn(ffi: Ffi, family: number, sockaddr: Buffer, address: string, beforeListen = () => {}): number {
  const fd = ffi.socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw listenError(ffi.errno(), address);
  const at = ffi.calloc(SOCKADDR_BYTES);
  try {
    new Uint8Array(ffi.viewOf(at, SOCKADDR_BYTES)).set(sockaddr);
    if (family !== AF_UNIX) setOption(ffi, fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (ffi.bind(fd, at, sockaddr.length) !== 0) throw listenError(ffi.errno(), address);
    beforeListen();
    if (ffi.listen(fd, BACKLOG) !== 0) throw listenError(ffi.errno(), address);
    return fd;
  } catch (error) {
    ffi.close(fd);
    throw error;
  } finally {
    ffi.free(at);
  }
}
