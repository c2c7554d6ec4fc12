// Blocks of annotated regions, for programs with allocators of their own: who owns a block, who may free it, and whether it is still there. The rules are
// broken by a thread, not by timing, so what is found here is found in every run.
//
//   kind          touched by            freed by          handed off
//   affine        its owner             its owner         no
//   transferable  its owner             its owner         yes
//   pool          any thread            any thread        -
//   shared        any thread            its owner         -

import type { Access, Location, Op, Report } from '../report/report.ts';
import type { BufferShadow } from '../runtime/buffer-shadow.ts';
import { Cell } from '../runtime/clock.ts';
import { Header, maxBlocks, maxThreads, recordInts, ThreadField, threadInts } from '../runtime/control.ts';
import { threadsOf } from '../runtime/race.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { framesOf } from '../runtime/sites.ts';
import { appendText, readText } from '../runtime/text.ts';
import { sharedPlaceOf, type Target } from './record.ts';

export const regionKinds = ['affine', 'transferable', 'pool', 'shared'] as const;
export type RegionKind = (typeof regionKinds)[number];

const Field = {
  kind: 0,
  owner: 1,
  freed: 2,
  offsetLow: 3,
  offsetHigh: 4,
  size: 5,
  creator: 6,
  creatorWord: 7,
  /** Who freed it or handed it off, and where. */
  last: 8,
  lastWord: 9,
  name: 10,
  handed: 11,
} as const;
/**
 * How much of a block its beginning and end look at, as TSan's MemoryRangeFreed: whoever still uses a large block is seldom away from its first bytes, and
 * to go through all of it costs more than what is done with it.
 */
const sweptBytes = 1024;
/** Owned by whoever touches it next. */
const anyone = -1;
const { compareExchange } = Atomics;

export class Blocks {
  readonly #runtime: Runtime;
  readonly #blocks: Int32Array;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.#blocks = runtime.control.blocks;
    runtime.touched = (buffer, block, offset, bits) => this.#touched(buffer, block, offset, bits);
  }

  alloc(kind: RegionKind, name: string, target: Target, offset: number, size: number): void {
    const place = sharedPlaceOf(this.#runtime, target);
    if (place === undefined || !(size > 0)) return;
    const { control, clock, check, site } = this.#runtime;
    const start = place.offset + offset;
    const { buffer } = place;
    const block = this.#recordFor(buffer, start);
    if (block === 0) return;
    const at = block * recordInts;
    const blocks = this.#blocks;
    blocks[at + Field.kind] = regionKinds.indexOf(kind);
    blocks[at + Field.owner] = clock.uid;
    blocks[at + Field.freed] = 0;
    blocks[at + Field.handed] = 0;
    blocks[at + Field.offsetLow] = start | 0;
    blocks[at + Field.offsetHigh] = Math.floor(start / 2 ** 32);
    blocks[at + Field.size] = size;
    blocks[at + Field.creator] = clock.uid;
    blocks[at + Field.creatorWord] = this.#runtime.captureWord(site[0]!);
    blocks[at + Field.name] = name === '' ? 0 : appendText(control, name);
    buffer.blocks.fill(block, start >>> 2, Math.ceil((start + size) / 4));
    buffer.blocks[buffer.blocks.length - 1] = 1;
    check.renew(buffer, start, Math.min(size, sweptBytes), site[0]!);
  }

  /** The record of the block that lay here before, or a new one; 0 where there is no room. */
  #recordFor(buffer: BufferShadow, start: number): number {
    const old = buffer.blocks[start >>> 2]!;
    if (old !== 0 && this.#start(old) === start) return old;
    const made = this.#runtime.control.take(Header.nextBlock);
    return made < maxBlocks ? made : 0;
  }

  free(target: Target, offset: number, refused: boolean): void {
    const found = this.#find(target, offset);
    if (found === undefined) return;
    const { buffer, block, at, start } = found;
    const blocks = this.#blocks;
    const { clock, check, site } = this.#runtime;
    const size = blocks[at + Field.size]!;
    const op = { op: 'free' as const, offset: start, size };
    if (blocks[at + Field.freed] !== 0) {
      this.#report(buffer, block, op, 'attempting double-free', 'a block is freed once', 'last');
      return;
    }
    const kind = regionKinds[blocks[at + Field.kind]!]!;
    const owner = blocks[at + Field.owner]!;
    if (kind !== 'pool' && owner !== anyone && owner !== clock.uid) {
      const rule = `a block of this ${kind} region is freed by its owner, ${nameOf(owner)}`;
      this.#report(buffer, block, op, 'free by a thread that is not the owner', rule, this.#lastOr(at));
    }
    // The freeing is an access to the block, while it is still there.
    if (!refused) blocks[at + Field.owner] = clock.uid;
    check.range(buffer, start, Math.min(size, sweptBytes), Cell.write, site[0]!);
    if (!refused) {
      blocks[at + Field.freed] = 1;
      this.#note(at);
    }
    // What this thread does after it is another epoch, so that it is looked at again.
    clock.tick();
  }

  handoff(target: Target, offset: number, to?: number): void {
    const found = this.#find(target, offset);
    if (found === undefined) return;
    const { buffer, block, at, start } = found;
    const blocks = this.#blocks;
    const { clock } = this.#runtime;
    const op = { op: 'handoff' as const, offset: start, size: blocks[at + Field.size]! };
    const kind = regionKinds[blocks[at + Field.kind]!]!;
    const owner = blocks[at + Field.owner]!;
    if (blocks[at + Field.freed] !== 0) {
      this.#report(buffer, block, op, 'handoff after free', 'a freed block belongs to nobody', 'last');
      return;
    }
    if (kind === 'affine') {
      this.#report(
        buffer,
        block,
        op,
        'handoff of an affine block',
        'a block of an affine region stays with its owner',
        'creator',
      );
    } else if (kind === 'transferable' && owner !== anyone && owner !== clock.uid) {
      const rule = `a block is handed off by its owner, ${nameOf(owner)}`;
      this.#report(buffer, block, op, 'handoff by a thread that is not the owner', rule, this.#lastOr(at));
    }
    this.#note(at);
    blocks[at + Field.handed] = 1;
    blocks[at + Field.owner] = this.#uidOf(to);
    clock.tick();
  }

  #touched(buffer: BufferShadow, block: number, offset: number, bits: number): void {
    const blocks = this.#blocks;
    const at = block * recordInts;
    const mask = bits & 0xff;
    const first = 31 - Math.clz32(mask & -mask);
    const start = offset + first;
    if (start < this.#start(block) || start >= this.#start(block) + blocks[at + Field.size]!) return;
    const kind = regionKinds[blocks[at + Field.kind]!]!;
    const word: Op = (bits & Cell.write) === 0 ? 'read' : 'write';
    const op = (bits & Cell.atomic) === 0 ? word : (`atomic ${word}` as const);
    const access = { op, offset: start, size: 32 - Math.clz32(mask) - first };
    if (blocks[at + Field.freed] !== 0) {
      this.#report(buffer, block, access, 'use after free', 'a freed block belongs to nobody', 'last');
      return;
    }
    if (kind === 'pool' || kind === 'shared') return;
    const { uid } = this.#runtime.clock;
    if (blocks[at + Field.owner] === anyone && blocks[at + Field.last] !== uid) {
      compareExchange(blocks, at + Field.owner, anyone, uid);
    }
    const owner = blocks[at + Field.owner]!;
    if (owner === uid) return;
    if (blocks[at + Field.handed] !== 0 && blocks[at + Field.last] === uid) {
      this.#report(
        buffer,
        block,
        access,
        'use after handoff',
        'a block that was handed off belongs to another thread',
        'last',
      );
      return;
    }
    const rule = `a block of this ${kind} region is touched by its owner only, ${nameOf(owner)}`;
    this.#report(buffer, block, access, 'access by a thread that is not the owner', rule, this.#lastOr(at));
  }

  #find(target: Target, offset: number) {
    const place = sharedPlaceOf(this.#runtime, target);
    if (place === undefined) return undefined;
    const start = place.offset + offset;
    const { buffer } = place;
    const block = buffer.blocks[start >>> 2] ?? 0;
    if (block === 0) return undefined;
    return { buffer, block, at: block * recordInts, start: this.#start(block) };
  }

  #start(block: number): number {
    const at = block * recordInts;
    return (this.#blocks[at + Field.offsetLow]! >>> 0) + this.#blocks[at + Field.offsetHigh]! * 2 ** 32;
  }

  #note(at: number): void {
    this.#blocks[at + Field.last] = this.#runtime.clock.uid;
    this.#blocks[at + Field.lastWord] = this.#runtime.captureWord(this.#runtime.site[0]!);
  }

  #lastOr(at: number): 'last' | 'creator' {
    return this.#blocks[at + Field.handed] !== 0 ? 'last' : 'creator';
  }

  #uidOf(tid: number | undefined): number {
    if (tid === undefined) return anyone;
    const { threads } = this.#runtime.control;
    for (let at = 0; at < maxThreads * threadInts; at += threadInts) {
      if (threads[at + ThreadField.tid] === tid && threads[at + ThreadField.running] !== 0) return threads[at]!;
    }
    return anyone;
  }

  #report(
    buffer: BufferShadow,
    block: number,
    made: { readonly op: Op; readonly offset: number; readonly size: number },
    title: string,
    rule: string,
    against: 'last' | 'creator',
  ): void {
    const runtime = this.#runtime;
    const { control, clock } = runtime;
    const blocks = this.#blocks;
    const at = block * recordInts;
    const freed = blocks[at + Field.freed] !== 0;
    const size = blocks[at + Field.size]!;
    const creator = blocks[at + Field.creator]!;
    const start = this.#start(block);
    const other: Access = {
      op: against === 'creator' ? 'alloc' : freed ? 'free' : 'handoff',
      offset: start,
      size,
      thread: blocks[at + (against === 'creator' ? Field.creator : Field.last)]!,
      stack: framesOf(control, blocks[at + (against === 'creator' ? Field.creatorWord : Field.lastWord)]!),
    };
    const name = readText(control, blocks[at + Field.name]!);
    const kind = regionKinds[blocks[at + Field.kind]!]!;
    const location: Location = {
      buffer: buffer.id,
      size: buffer.bytesMax,
      thread: buffer.creator,
      stack: framesOf(control, buffer.creatorWord),
      block: {
        offset: start,
        size,
        region: name === '' ? kind : `${kind} '${name}'`,
        freed,
        thread: freed ? blocks[at + Field.last]! : creator,
        stack: framesOf(control, blocks[at + (freed ? Field.lastWord : Field.creatorWord)]!),
      },
    };
    const report: Report = {
      kind: 'ownership',
      title,
      rule,
      accesses: [{ ...made, thread: clock.uid, stack: runtime.stack(runtime.site[0]!) }, other],
      location,
      threads: threadsOf(runtime, [clock.uid, other.thread, creator, buffer.creator]),
    };
    runtime.emit(report);
  }
}

function nameOf(uid: number): string {
  return uid === 0 ? 'the main thread' : `thread T${uid}`;
}
