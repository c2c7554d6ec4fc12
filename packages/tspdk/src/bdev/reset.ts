/**
 * Reset: abort what a disk has under way on every core, wait until it has come back, and go on (SPDK: SPDK_BDEV_IO_TYPE_RESET).
 *
 * Each core stops its channels of the disk, and those that are opened meanwhile: what waits in the layer ends with -ECANCELED, what the module has is aborted where
 * the module can and else awaited, and what is submitted meanwhile ends with -ECANCELED. What a core has had carried to the disk's home core it aborts there
 * (carry.ts). When all cores are drained, a disk that stands on others may reset those (`BackendChannel.reset`); then the cores open again and
 * the reset completes. Several resets at once are counted: a core is open when it has been told to go on as often as to stop, in whatever order.
 */
import { defineEvent } from '../env/event-fn.ts';
import { currentReactor, localKey } from '../event/reactor.ts';
import type { Bdev } from './bdev.ts';
import type { BdevIo, BdevIoDone } from './bdev-io.ts';
import { IO_RESET } from './io-type.ts';
import { type BdevManager, bdevManager, type Retry } from './manager.ts';
import { ECANCELED, ENOMEM } from './status.ts';
import { offsetIn, type ThreadChannel } from './thread-channel.ts';

/** How often a core looks whether its channels have drained. */
const DRAIN_POLL_US = 20;

interface ResetState {
  readonly io: BdevIo;
  waitingFor: number;
  /** Until every core has been told to go on. */
  opening: boolean;
  /** Of what is below. */
  status: number;
}

const resets = localKey('bdev_resets', () => ({ ids: 0, byId: new Map<number, ResetState>() }));

/** Takes a reset on the channel's reactor, for the initiator's connection of that number; `rank`: see io-rank.ts; `mark`: see io-timeout.ts. 0 or -ENOMEM. */
export function startReset(
  channel: ThreadChannel,
  rank: number,
  connection: number,
  cb: BdevIoDone,
  ctx: unknown,
  mark: number,
): number {
  const { faults } = channel.bdev;
  const io = channel.manager.pool.get(rank);
  if (io === null) return ENOMEM;
  io.type = IO_RESET;
  io.byteOffset = 0;
  io.bytes = 0;
  io.flags = mark;
  io.connection = connection;
  io.cb = cb;
  io.ctx = ctx;
  channel.stamp(io);
  if (faults === null || !faults.strike(channel, io)) beginReset(channel, io);
  return 0;
}

/** A reset that no fault holds back. */
export function beginReset(channel: ThreadChannel, io: BdevIo): void {
  const { manager, bdev } = channel;
  channel.beginEmulated(io);
  const { reactor } = manager;
  const table = reactor.local(resets);
  const id = ++table.ids;
  table.byId.set(id, { io, waitingFor: reactor.cores.length, opening: false, status: 0 });
  for (const core of reactor.cores) reactor.send(core, stop, bdev.id, reactor.core, id);
}

/** Tells the core that asked when this core's channels have nothing outstanding but their own resets. */
class Drain implements Retry {
  readonly #manager: BdevManager;
  readonly #bdevId: number;
  readonly #core: number;
  readonly #id: number;

  constructor(manager: BdevManager, bdevId: number, core: number, id: number) {
    this.#manager = manager;
    this.#bdevId = bdevId;
    this.#core = core;
    this.#id = id;
  }

  retry(): void {
    const bdev = this.#manager.byId.get(this.#bdevId);
    for (const channel of bdev?.channels ?? []) {
      if (channel.outstanding === channel.resets) continue;
      this.#manager.retryAfter(DRAIN_POLL_US, this);
      return;
    }
    this.#manager.reactor.send(this.#core, drained, this.#id, 0, 0);
  }
}

const stop = defineEvent('bdev.reset.stop', (bdevId, core, id) => {
  const manager = currentReactor().local(bdevManager);
  const bdev = manager.byId.get(bdevId);
  if (bdev !== undefined) {
    bdev.resetting++;
    for (const channel of bdev.channels) {
      channel.resetting++;
      channel.abortQueued(ECANCELED);
    }
    abortAll(bdev);
  }
  new Drain(manager, bdevId, core, id).retry();
});

/** Aborts what the module has of the channels here. A callback, or the module, that throws takes nobody with it. */
function abortAll({ channels, manager }: Bdev): void {
  for (const channel of channels) {
    for (const io of manager.pool.all) {
      if (io.type === IO_RESET || offsetIn(io, channel) < 0) continue;
      try {
        (io.sink as ThreadChannel).abort(io);
      } catch (error) {
        manager.onCallbackError(error);
      }
    }
  }
}

const open = defineEvent('bdev.reset.open', (bdevId, core, id) => {
  const manager = currentReactor().local(bdevManager);
  const bdev = manager.byId.get(bdevId);
  if (bdev !== undefined) {
    bdev.resetting--;
    for (const channel of bdev.channels) channel.resetting--;
  }
  manager.reactor.send(core, drained, id, 0, 0);
});

const drained = defineEvent('bdev.reset.drained', (id) => {
  const reactor = currentReactor();
  const table = reactor.local(resets);
  const state = table.byId.get(id);
  if (state === undefined || --state.waitingFor > 0) return;
  const channel = state.io.sink as ThreadChannel;
  const { backend } = channel;
  if (state.opening) {
    table.byId.delete(id);
    channel.endEmulated(state.io, state.status);
  } else if (backend.reset === undefined) reopen(id, 0);
  else backend.reset(belowIsReset, id);
});

function belowIsReset(id: unknown, status: number): void {
  reopen(id as number, status);
}

function reopen(id: number, status: number): void {
  const reactor = currentReactor();
  const state = reactor.local(resets).byId.get(id) as ResetState;
  state.status = status;
  state.opening = true;
  state.waitingFor = reactor.cores.length;
  const { bdev } = state.io.sink as ThreadChannel;
  for (const core of reactor.cores) reactor.send(core, open, bdev.id, reactor.core, id);
}
