/**
 * A RAID disk on one reactor: its members there, and which of them may be read. Control path, but for what the channels look up.
 *
 * A member is dropped in two steps, each on every core before the next begins (raid-disk.ts): nobody reads it any more, then nobody writes it. An operation that
 * failed on a member which is still written waits here (`park`) until the member is dropped, and is only then acknowledged: nobody can read from that member any
 * more what was there before, and the superblock says that it is not to be used.
 */

import type { BackendChannel, BdevBackend, BdevDesc, BdevSpec } from '../../../bdev/index.ts';
import { openBase } from '../../../bdev/index.ts';
import { type BdevManager, bdevManager } from '../../../bdev/manager.ts';
import type { Segment } from '../../../env/segment.ts';
import { defineControl } from '../../../event/control.ts';
import { localKey, type Reactor } from '../../../event/reactor.ts';
import { makeRaidChannel } from './make-channel.ts';
import type { RaidChannel } from './raid-channel.ts';
import type { RaidData, RaidMemberRef } from './raid-data.ts';
import { failedEvent } from './raid-events.ts';
import { LEG_FAILED, LEG_OK, LEG_SETTLED, type RaidOp } from './raid-op.ts';

/** The RAID disks of this reactor, by key. */
export const raidBackends = localKey('bdev_raid_backends', () => new Map<number, RaidBackend>());

export class RaidBackend implements BdevBackend {
  readonly spec: BdevSpec;
  readonly data: RaidData;
  readonly reactor: Reactor;
  readonly manager: BdevManager;
  readonly blockBytes: number;
  /** By slot; null: no member. */
  readonly descs: (BdevDesc | null)[];
  /** By slot: where its data starts, how much it is, whether it may be read, which of the slot's members it is. */
  readonly offsets: Float64Array;
  readonly dataBytes: Float64Array;
  readonly readable: Uint8Array;
  /** By slot: its member has been made like the others, or was from the beginning; though it may be about to be dropped. */
  readonly #whole: Uint8Array;
  readonly generations: Int32Array;
  readonly channels = new Set<RaidChannel>();
  /** Memory for parity, one strip a buffer; null: the level needs none. */
  readonly scratch: Segment | null;
  readonly #buffers: number[] = [];
  /** What else must be over before the disk is closed. */
  readonly tasks = new Set<Promise<void>>();
  /** By slot: the generation whose failure the app core has been told of. */
  readonly #told: Int32Array;
  #parked: RaidOp[] = [];

  constructor(spec: BdevSpec, reactor: Reactor) {
    const data = spec.data as RaidData;
    const slots = data.members.length;
    this.spec = spec;
    this.data = data;
    this.reactor = reactor;
    this.manager = reactor.local(bdevManager);
    this.blockBytes = spec.blockSizeBytes;
    this.descs = data.members.map(() => null);
    this.offsets = new Float64Array(slots);
    this.dataBytes = new Float64Array(slots);
    this.readable = new Uint8Array(slots);
    this.#whole = new Uint8Array(slots);
    this.generations = new Int32Array(slots);
    this.#told = new Int32Array(slots).fill(-1);
    this.scratch = data.scratch === 0 ? null : reactor.segments.get(data.scratch);
    if (this.scratch !== null) this.#cutBuffers(this.scratch);
    try {
      for (const [slot, member] of data.members.entries()) {
        if (member === null) continue;
        this.openMember(slot, member, 0);
        this.setReadable(slot, true);
      }
    } catch (error) {
      for (const desc of this.descs) desc?.close();
      throw error;
    }
    reactor.local(raidBackends).set(data.key, this);
  }

  /** This core's part of the scratch memory. */
  #cutBuffers(scratch: Segment): void {
    const { cores, core } = this.reactor;
    const stripBytes = this.data.stripBlocks * this.blockBytes;
    const each = Math.floor(scratch.sizeBytes / stripBytes / cores.length);
    const first = cores.indexOf(core) * each;
    for (let i = 0; i < each; i++) this.#buffers.push((first + i) * stripBytes);
  }

  /** Where a strip's worth of `scratch` is; -1 when all are in use. Data path. */
  takeBuffer(): number {
    return this.#buffers.pop() ?? -1;
  }

  giveBuffer(offset: number): void {
    this.#buffers.push(offset);
  }

  createChannel(): BackendChannel {
    return makeRaidChannel(this);
  }

  /** The slot's member is written from now on, but not read. @throws {SpdkError} ENODEV when it is going. */
  openMember(slot: number, member: RaidMemberRef, generation: number): void {
    this.descs[slot] = openBase(member.ref, this.reactor);
    this.offsets[slot] = member.dataOffsetBytes;
    this.dataBytes[slot] = member.dataBytes;
    this.generations[slot] = generation;
    this.readable[slot] = 0;
    this.#whole[slot] = 0;
    for (const channel of this.channels) channel.openMember(slot);
  }

  /** It is read from now on, as it has all data, or it is not, as it is to be dropped. */
  setReadable(slot: number, readable: boolean): void {
    if (this.descs[slot] === null) return;
    this.readable[slot] = readable ? 1 : 0;
    if (readable) this.#whole[slot] = 1;
  }

  /** It is neither read nor written any more; what waited for that goes on. */
  dropMember(slot: number): void {
    this.readable[slot] = 0;
    for (const channel of this.channels) channel.closeMember(slot);
    this.descs[slot]?.close();
    this.descs[slot] = null;
    this.#unpark(slot, false);
  }

  /** It stays although it has failed: what waited for its end fails. */
  refuse(slot: number): void {
    this.#told[slot] = -1;
    this.#unpark(slot, true);
  }

  /** A leg has failed on a member that was there: the app core hears of it, once. */
  memberFailed(slot: number, generation: number): void {
    if (this.#told[slot] === generation) return;
    this.#told[slot] = generation;
    this.reactor.send(this.reactor.app.mainCore, failedEvent, this.data.key, slot, generation);
  }

  /** Is this member of the slot still written? */
  isCurrent(slot: number, generation: number): boolean {
    return this.descs[slot] !== null && this.generations[slot] === generation;
  }

  /** `op` waits until the members on which it failed are dropped. */
  park(op: RaidOp): void {
    this.#parked.push(op);
  }

  #unpark(slot: number, refused: boolean): void {
    const parked = this.#parked;
    this.#parked = [];
    for (const op of parked) {
      const leg = op.legs[slot];
      if (leg.state === LEG_FAILED && refused) {
        op.channel.finish(op, op.status);
        continue;
      }
      if (leg.state === LEG_FAILED) leg.state = LEG_SETTLED;
      if (op.legs.some(({ state }) => state === LEG_FAILED)) this.#parked.push(op);
      else op.channel.settled(op);
    }
  }

  /**
   * How many legs of `op` went well, on members that are still there and have all else. One that is about to be dropped counts, as that may be refused; when it is not, what failed on the last that are
   * left fails, as nobody drops those.
   */
  succeeded(op: RaidOp): number {
    let count = 0;
    for (let slot = 0; slot < op.legs.length; slot++) {
      const leg = op.legs[slot];
      if (leg.state === LEG_OK && this.#whole[slot] !== 0 && this.isCurrent(slot, leg.generation)) count++;
    }
    return count;
  }

  /** The disk itself, as this reactor knows it; undefined while it is made or ended. */
  get bdev() {
    return this.manager.byId.get(this.spec.id);
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.tasks]);
    this.reactor.local(raidBackends).delete(this.data.key);
    for (const desc of this.descs) desc?.close();
  }
}

export interface RaidSlotCall {
  readonly key: number;
  readonly slot: number;
}

const backendOf = (reactor: Reactor, key: number) => reactor.local(raidBackends).get(key);

/** A slot has another member: written from now on. */
export const addRaidMember = defineControl(
  'raid.member.add',
  (call: RaidSlotCall & { member: RaidMemberRef; generation: number }, reactor): void =>
    backendOf(reactor, call.key)?.openMember(call.slot, call.member, call.generation),
);

/** Its member may be read, or not. */
export const setRaidReadable = defineControl(
  'raid.member.readable',
  (call: RaidSlotCall & { readable: boolean }, reactor): void =>
    backendOf(reactor, call.key)?.setReadable(call.slot, call.readable),
);

export const dropRaidMember = defineControl('raid.member.drop', (call: RaidSlotCall, reactor): void =>
  backendOf(reactor, call.key)?.dropMember(call.slot),
);

export const refuseRaidDrop = defineControl('raid.member.refuse', (call: RaidSlotCall, reactor): void =>
  backendOf(reactor, call.key)?.refuse(call.slot),
);
