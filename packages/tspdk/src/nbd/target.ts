/**
 * The NBD target of an application: which exports there are, where it listens, which reactor serves which connection.
 *
 * Control path, on the app core. Connections are dealt to the reactors in turn, as descriptors, which are good on every thread of the
 * process; where they cannot be handed over (no FFI) all stay on the app core. Every export exists on every reactor, so that any
 * connection can ask for any. Groups and their memory are made when first needed: an application that serves no NBD pays nothing.
 */
import { bdevRegistry } from '../bdev/index.ts';
import { SpdkError } from '../env/errors.ts';
import { limits } from '../env/limits.ts';
import { type App, localKey } from '../event/index.ts';
import { log } from '../log/index.ts';
import { type Listener, listen, type SockAddress } from '../sock/index.ts';
import type { ExportConfig } from './export.ts';
import {
  addLanes,
  adoptConnection,
  awaitRemoval,
  closeExport,
  closeGroup,
  drainConnections,
  groupOf,
  listConnections,
  openExport,
  openGroup,
} from './group-control.ts';
import { LANE_BYTES } from './lane.ts';
import { type ConnectionInfo, groupEvents } from './poll-group.ts';
import { pieceBytes, WRITE_BUFFERS, writeBufferBytes } from './write-buffers.ts';

const nbdLog = log.register('nbd');
/** Lanes that a group gets at once. */
const LANES_A_SEGMENT = 16;

/** An export as it was asked for. */
export interface ExportOptions {
  readonly name: string;
  readonly bdevName: string;
  readonly description?: string | undefined;
  /** Default: as the bdev is. */
  readonly readOnly?: boolean | undefined;
  /** Tell clients that the medium rotates. Default false. */
  readonly rotational?: boolean | undefined;
}

/** One place the target listens at. */
export interface ServerInfo {
  readonly name: string;
  /** "127.0.0.1:10809", or the path of a unix socket. */
  readonly address: string;
  /** 0 for a unix socket. */
  readonly port: number;
  readonly connections: number;
}

interface Server {
  readonly name: string;
  readonly asked: SockAddress;
  readonly listener: Listener;
  readonly connections: Set<number>;
}

interface ConnectionPlace {
  readonly core: number;
  readonly server: Server;
}

/** The NBD target of an application, see `nbdTarget`. App core only. */
export class NbdTarget {
  readonly #app: App;
  readonly #exports = new Map<string, ExportConfig>();
  readonly #servers = new Map<string, Server>();
  /** Names of servers that are being started. */
  readonly #starting = new Set<string>();
  readonly #connections = new Map<number, ConnectionPlace>();
  /** By core: lanes there, and connections that use or will use one. */
  readonly #lanes = new Map<number, { total: number; used: number; ready: Promise<void> }>();
  #ids = 0;
  #turn = 0;
  #open: Promise<unknown> | null = null;
  #full = false;
  #closing = false;

  constructor(app: App) {
    this.#app = app;
    const events = app.reactor.local(groupEvents);
    events.connectionGone = (id) => this.#gone(id);
    events.exportRemoved = (name) => {
      const config = this.#exports.get(name);
      this.#exports.delete(name);
      nbdLog.notice(`export "${name}" is gone: its bdev was removed`);
      if (config?.writeBuffers == null) return;
      this.#afterRemoval(config).catch((error: unknown) => {
        nbdLog.warn(`memory of export "${name}" is kept: ${error instanceof Error ? error.message : String(error)}`);
      });
    };
  }

  /** Groups on every reactor. */
  async #ready(): Promise<void> {
    if (this.#closing) throw new SpdkError('ESHUTDOWN', 'the NBD target is stopping');
    this.#open ??= this.#app.callAll(openGroup, null);
    await this.#open;
  }

  // ---- exports

  /** In order of addition. The first is also the default export, which clients ask for with an empty name. */
  get exports(): readonly ExportConfig[] {
    return [...this.#exports.values()];
  }

  /**
   * @throws {SpdkError} EEXIST for a name that is taken; ENODEV, EPERM, EROFS from the bdev; ENAMETOOLONG; ENOSPC.
   */
  async addExport(options: ExportOptions): Promise<void> {
    const { name, bdevName, description = '', rotational = false } = options;
    const readOnly = options.readOnly ?? !bdevRegistry(this.#app.reactor).get(bdevName).writable;
    for (const [what, text] of [
      ['name', name],
      ['description', description],
    ]) {
      const bytes = Buffer.byteLength(text);
      if (bytes > limits.nbd_string_bytes_max) {
        throw new SpdkError('ENAMETOOLONG', `export ${what} of ${bytes} bytes, limit ${limits.nbd_string_bytes_max}`);
      }
      if (text.includes('\0')) throw new SpdkError('EINVAL', `export ${what} contains a NUL character`);
    }
    if (this.#exports.has(name)) throw new SpdkError('EEXIST', `export "${name}" exists already`);
    if (this.#exports.size === limits.nbd_exports_max) {
      throw new SpdkError('ENOSPC', `export "${name}": there are ${limits.nbd_exports_max} exports already`);
    }
    const basic = { name, bdevName, description, readOnly, rotational, writeBuffers: null };
    this.#exports.set(name, basic);
    let config: ExportConfig = basic;
    try {
      await this.#ready();
      if (!readOnly) config = { ...basic, writeBuffers: await this.#makeWriteBuffers(bdevName) };
      if (this.#exports.get(name) !== basic) throw new SpdkError('ENODEV', `export "${name}" was removed meanwhile`);
      this.#exports.set(name, config);
      await this.#app.callAll(openExport, config);
    } catch (error) {
      // Another of that name may be there by now.
      if ([basic, config].includes(this.#exports.get(name) as ExportConfig)) {
        this.#exports.delete(name);
        if (this.#open !== null) await this.#app.callAll(closeExport, { name });
      }
      await this.#dropWriteBuffers(config);
      throw error;
    }
  }

  /** Resolves when its connections are gone and the bdev is closed. @throws {SpdkError} ENOENT */
  async removeExport(name: string): Promise<void> {
    const config = this.#exports.get(name);
    if (config === undefined) throw new SpdkError('ENOENT', `no export is called "${name}"`);
    this.#exports.delete(name);
    await this.#app.callAll(closeExport, { name });
    await this.#dropWriteBuffers(config);
  }

  /** Memory for what a disk is written in, where I/O buffers do not hold it. */
  async #makeWriteBuffers(bdevName: string): Promise<ExportConfig['writeBuffers']> {
    const { limits: wants, blockSizeBytes, metadata } = bdevRegistry(this.#app.reactor).get(bdevName);
    const unitBytes = Math.max(1, wants.writeUnitBlocks) * (metadata?.dataBytes ?? blockSizeBytes);
    const bytes = writeBufferBytes(unitBytes, pieceBytes(this.#app.reactor.iobuf.largeBytes));
    if (bytes === 0) return null;
    if (bytes > limits.nbd_payload_bytes_max) {
      nbdLog.warn(
        `bdev "${bdevName}" is written in units of ${unitBytes} bytes, NBD writes at most ${limits.nbd_payload_bytes_max}: clients cannot write to it`,
      );
      return null;
    }
    const segment = await this.#app.shareSegment(this.#app.cores.length * WRITE_BUFFERS * bytes);
    this.#segments.push(segment);
    return { bytes, segmentId: segment.id };
  }

  /** Its bdev went by itself: what its connections still hold is given back first. */
  async #afterRemoval(config: ExportConfig): Promise<void> {
    await this.#app.callAll(awaitRemoval, { name: config.name });
    await this.#dropWriteBuffers(config);
  }

  /** Nobody has the export open any more. */
  async #dropWriteBuffers({ writeBuffers }: ExportConfig): Promise<void> {
    const at = this.#segments.findIndex(({ id }) => id === writeBuffers?.segmentId);
    if (at >= 0) await this.#app.dropSegment(this.#segments.splice(at, 1)[0]);
  }

  // ---- servers

  get servers(): ServerInfo[] {
    return [...this.#servers.values()].map(({ name, listener, connections }) => ({
      name,
      address: listener.address,
      port: listener.port,
      connections: connections.size,
    }));
  }

  /** Where each server was asked to listen, for the saved configuration. */
  get serverAddresses(): { name: string; asked: SockAddress }[] {
    return [...this.#servers.values()].map(({ name, asked }) => ({ name, asked }));
  }

  /**
   * Listens. `name` defaults to the address.
   * @throws {SpdkError} EEXIST for a name that is taken; EADDRINUSE, EACCES ... naming the address.
   */
  async startServer(address: SockAddress, name?: string): Promise<ServerInfo> {
    const given = name ?? ('path' in address ? address.path : `${address.host}:${address.port}`);
    if (this.#servers.has(given) || this.#starting.has(given)) {
      throw new SpdkError('EEXIST', `NBD server "${given}" is started already`);
    }
    this.#starting.add(given);
    try {
      await this.#ready();
      const connections = new Set<number>();
      let server: Server | null = null;
      const group = groupOf(this.#app.reactor);
      const listener = await listen(group.socks, address, {
        onAccept: (fd, peer) => {
          if (server === null) group.socks.refuse(fd);
          else this.#accepted(server, fd, peer);
        },
      });
      server = { name: given, asked: address, listener, connections };
      this.#servers.set(given, server);
      nbdLog.info(`server "${given}" listens on ${listener.address}`);
      if (!listener.handsOver && this.#app.cores.length > 1) {
        nbdLog.notice(`connections stay on core ${this.#app.mainCore}: ${listener.reason}`);
      }
      return { name: given, address: listener.address, port: listener.port, connections: 0 };
    } finally {
      this.#starting.delete(given);
    }
  }

  /** Accepts no more and lets its connections finish. Without a name: all servers. @throws {SpdkError} ENOENT */
  async stopServer(name?: string): Promise<void> {
    if (name !== undefined && !this.#servers.has(name)) {
      throw new SpdkError('ENOENT', `no NBD server is called "${name}"`);
    }
    const stopped = [...this.#servers.values()].filter((server) => name === undefined || server.name === name);
    for (const server of stopped) this.#servers.delete(server.name);
    await Promise.all(stopped.map((server) => server.listener.close()));
    const ids = stopped.flatMap((server) => [...server.connections]);
    const cores = new Set(ids.map((id) => this.#connections.get(id)?.core ?? this.#app.mainCore));
    await Promise.all([...cores].map((core) => this.#app.call(core, drainConnections, { ids })));
  }

  // ---- connections

  #accepted(server: Server, fd: number, peer: string): void {
    const { socks } = groupOf(this.#app.reactor);
    if (this.#closing || this.#connections.size >= limits.nbd_connections_max) {
      socks.refuse(fd);
      if (!this.#full)
        nbdLog.warn(`connection from ${peer} refused: limit of ${limits.nbd_connections_max} connections`);
      this.#full = true;
      return;
    }
    const { cores, mainCore } = this.#app;
    const core = server.listener.handsOver ? cores[this.#turn++ % cores.length] : mainCore;
    const id = ++this.#ids;
    this.#connections.set(id, { core, server });
    server.connections.add(id);
    this.#handOver(core, id, fd, peer).catch((error: unknown) => {
      this.#gone(id);
      nbdLog.error(`connection ${id} from ${peer}: ${error instanceof Error ? error.message : String(error)}`);
    });
  }

  async #handOver(core: number, id: number, fd: number, peer: string): Promise<void> {
    try {
      await this.#reserveLane(core);
    } catch (error) {
      groupOf(this.#app.reactor).socks.refuse(fd);
      throw error;
    }
    await this.#app.call(core, adoptConnection, { id, fd, peer });
  }

  /** There is a lane for one more connection on `core`. Memory is shared by all cores, so it is made here. */
  async #reserveLane(core: number): Promise<void> {
    let lanes = this.#lanes.get(core);
    if (lanes === undefined) {
      lanes = { total: 0, used: 0, ready: Promise.resolve() };
      this.#lanes.set(core, lanes);
    }
    lanes.used++;
    if (lanes.used > lanes.total) {
      lanes.total += LANES_A_SEGMENT;
      lanes.ready = this.#addLanes(core, lanes.ready);
    }
    await lanes.ready;
  }

  async #addLanes(core: number, before: Promise<void>): Promise<void> {
    await before;
    const segment = await this.#app.shareSegment(LANES_A_SEGMENT * LANE_BYTES);
    this.#segments.push(segment);
    await this.#app.call(core, addLanes, { segmentId: segment.id });
  }
  readonly #segments: Awaited<ReturnType<App['shareSegment']>>[] = [];

  #gone(id: number): void {
    const place = this.#connections.get(id);
    if (place === undefined) return;
    this.#connections.delete(id);
    place.server.connections.delete(id);
    const lanes = this.#lanes.get(place.core);
    if (lanes !== undefined) lanes.used--;
    this.#full = false;
  }

  /** All connections, with the name of their server. */
  async connections(): Promise<(ConnectionInfo & { server: string })[]> {
    if (this.#open === null) return [];
    const all = (await this.#app.callAll(listConnections, null)).flat();
    return all
      .map((info) => ({ ...info, server: this.#connections.get(info.id)?.server.name ?? '' }))
      .sort((a, b) => a.id - b.id);
  }

  /** Stops everything and gives all memory back. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.stopServer();
    await this.#open;
    if (this.#open !== null) await this.#app.callAll(closeGroup, null);
    this.#exports.clear();
    for (const segment of this.#segments.splice(0)) await this.#app.dropSegment(segment);
  }
}

/** The application's target, set by the nbd subsystem. */
export const nbdTargetKey = localKey('nbd.target', () => ({ target: null as NbdTarget | null }));

/** @throws {SpdkError} ENODEV when the application has no nbd subsystem, or it is not initialised. */
export function nbdTarget(app: App): NbdTarget {
  const { target } = app.reactor.local(nbdTargetKey);
  if (target === null) throw new SpdkError('ENODEV', 'the nbd subsystem is not initialised');
  return target;
}
