/**
 * IoDevice: something that threads open channels to. Control path.
 *
 * SPDK has one io_device for all cores, found by its address. Here closures stay on their reactor, so a device is a set of replicas, one on each
 * reactor that uses it, all registered under one id (`host.allocIoDeviceId()`). Each replica makes the channels of its own reactor's threads;
 * `forEachChannel` visits them all. SPDK's promises hold for each replica, and `unregisterEverywhere` makes them for the whole:
 *
 * - unregistering takes the device out at once; channels that are open stay good until they are put;
 * - the callback runs, on the thread that asked, when the last channel is gone;
 * - while an iteration that was started here is under way, the device stays in and is unregistered when that has ended.
 */
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import { currentHost, localKey, type ThreadHost } from './host.ts';
import type { IoChannel } from './io-channel.ts';
import { checkName } from './shared-thread-table.ts';
import { currentThread, type Thread } from './thread.ts';

export interface IoDeviceOptions<C> {
  /** The device's id, the same on every reactor; default: a new one. */
  readonly id?: number;
  /** At most limits.name_bytes bytes; default "io_device_ID". */
  readonly name?: string;
  /** Fills `channel.ctx`. Returns 0, or a negative errno: then there is no channel. It may get channels of other devices. */
  create(channel: IoChannel<C>): number;
  /** Undoes `create`. */
  destroy(channel: IoChannel<C>): void;
}

/** A device's replica on one reactor. That reactor only. */
export class IoDevice<C = unknown> {
  readonly id: number;
  readonly name: string;
  readonly host: ThreadHost;
  /** Channels open on this reactor. */
  channelCount = 0;
  /** @internal iterations started on this reactor and not ended */
  forEachCount = 0;
  readonly #options: IoDeviceOptions<C>;
  #state: 'registered' | 'pending' | 'unregistered' = 'registered';
  #callback: (() => void) | null = null;
  #thread: Thread | null = null;

  private constructor(host: ThreadHost, id: number, options: IoDeviceOptions<C>) {
    const { name = `io_device_${id}` } = options;
    checkName('io_device', name);
    this.host = host;
    this.id = id;
    this.name = name;
    this.#options = options;
  }

  /**
   * Makes a device, or a further reactor's replica of one (spdk_io_device_register).
   * @throws {SpdkError} EEXIST when that id is registered on this reactor; ENAMETOOLONG.
   */
  static register<C>(host: ThreadHost, options: IoDeviceOptions<C>): IoDevice<C> {
    const devices = host.local(devicesOf).byId;
    const { id = host.allocIoDeviceId() } = options;
    const known = devices.get(id);
    if (known !== undefined) {
      throw new SpdkError(
        'EEXIST',
        `io_device ${id} is already registered on core ${host.core} (old:${known.name} new:${options.name ?? ''})`,
      );
    }
    const device = new IoDevice<C>(host, id, options);
    devices.set(id, device as IoDevice);
    return device;
  }

  /** The replica of this reactor, or undefined. */
  static find(host: ThreadHost, id: number): IoDevice | undefined {
    return host.local(devicesOf).byId.get(id);
  }

  /** Every device registered on this reactor. */
  static list(host: ThreadHost): IoDevice[] {
    return [...host.local(devicesOf).byId.values()];
  }

  /** An unregistration waits for iterations to end: no new ones start. */
  get pendingUnregister(): boolean {
    return this.#state === 'pending';
  }
  get isRegistered(): boolean {
    return this.#state !== 'unregistered';
  }

  /**
   * Takes this reactor's replica out (spdk_io_device_unregister). `done` runs when its last channel is gone: on the thread
   * that runs now, which cannot exit before that; when none runs, in a turn of this reactor.
   * @throws {SpdkError} EALREADY the second time.
   */
  unregister(done?: () => void): void {
    if (this.#state !== 'registered') {
      throw new SpdkError(
        'EALREADY',
        `io_device "${this.name}" is already being unregistered on core ${this.host.core}`,
      );
    }
    this.#callback = done ?? null;
    this.#thread = currentThread();
    if (this.#thread !== null && done !== undefined) this.#thread.unregisterCount++;
    this.#state = 'pending';
    this.settle();
  }

  /** @internal Takes the next step of an unregistration when nothing holds it back. */
  settle(): void {
    if (this.#state === 'pending' && this.forEachCount === 0) {
      this.#state = 'unregistered';
      this.host.local(devicesOf).byId.delete(this.id);
    }
    if (this.#state !== 'unregistered' || this.channelCount > 0 || this.#callback === null) return;
    const callback = this.#callback;
    this.#callback = null;
    this.#deliver(callback);
  }

  /** @internal */
  create(channel: IoChannel<C>): number {
    return this.#options.create(channel);
  }
  /** @internal */
  destroy(channel: IoChannel<C>): void {
    this.#options.destroy(channel);
  }

  #deliver(callback: () => void): void {
    const thread = this.#thread;
    if (thread === null || thread.isExited) {
      this.host.local(devicesOf).finished.push(callback);
      this.host.send(this.host.core, finished, 0, 0, 0);
      return;
    }
    thread.sendInternal(() => {
      thread.unregisterCount--;
      callback();
    }, null);
  }
}

/** The io_devices of one reactor. */
class IoDevices {
  readonly byId = new Map<number, IoDevice>();
  /** Callbacks that belong to no thread. */
  readonly finished: (() => void)[] = [];
}

const devicesOf = localKey('io_devices', () => new IoDevices());

const finished = defineEvent('thread.io_device.finished', () => {
  currentHost().local(devicesOf).finished.shift()?.();
});
