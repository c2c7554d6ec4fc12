/**
 * Random I/O against a disk and against an array that says what the disk must hold: the property every data-carrying module is put to.
 *
 * I/Os of one batch run at the same time, from several reactors, on ranges that do not overlap (what overlapping ones leave is undefined); buffers lie at
 * any alignment, in several pieces, and have guards around them. After each batch the ranges are read back by another reactor.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IoVecs } from '../env/iovecs.ts';
import type { Segment } from '../env/segment.ts';
import type { Bdev } from './bdev.ts';
import type { BdevChannel } from './channel.ts';
import type { Cluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import { IO_FLAG_FUA, IO_FLAG_NO_HOLE } from './io-type.ts';

/** One request of a batch, in blocks. */
export interface ModelOp {
  readonly kind: 'write' | 'read' | 'zero' | 'unmap' | 'flush';
  readonly lba: number;
  readonly blocks: number;
  readonly seed: number;
  /** Sizes of the pieces of memory, in units of 1/8 of the I/O; none is one piece. */
  readonly pieces: readonly number[];
  /** Bytes between pieces: their alignment. */
  readonly gap: number;
  readonly reactor: number;
  readonly flags: number;
}

const GUARD = 0xa5;

/** Batches for a disk of `blocks` blocks. */
export function modelBatches(blocks: number, maxBlocks: number): fc.Arbitrary<ModelOp[][]> {
  const op = fc.record({
    kind: fc.constantFrom('write', 'write', 'write', 'read', 'read', 'zero', 'unmap', 'flush'),
    lba: fc.nat(blocks - 1),
    blocks: fc.integer({ min: 1, max: maxBlocks }),
    seed: fc.nat(255),
    pieces: fc.array(fc.integer({ min: 1, max: 8 }), { maxLength: 6 }),
    gap: fc.constantFrom(0, 1, 3, 512, 4096),
    reactor: fc.nat(7),
    flags: fc.constantFrom(0, IO_FLAG_FUA, IO_FLAG_NO_HOLE),
  }) as fc.Arbitrary<ModelOp>;
  return fc.array(fc.array(op, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 6 });
}

/** Memory with guards, handed out from the front. */
class Arena {
  readonly segment: Segment;
  at = 64;
  constructor(cluster: Cluster, bytes: number) {
    this.segment = cluster.memory(bytes);
    this.segment.u8.fill(GUARD);
  }

  vecs(bytes: number, op: ModelOp): IoVecs {
    const iovs = new IoVecs(op.pieces.length + 1);
    let left = bytes;
    for (const eighths of op.pieces) {
      const piece = Math.floor((bytes * eighths) / 8 / 6);
      if (piece === 0 || piece >= left) continue;
      this.#push(iovs, piece, op.gap);
      left -= piece;
    }
    this.#push(iovs, left, op.gap);
    return iovs;
  }

  #push(iovs: IoVecs, bytes: number, gap: number): void {
    this.at += gap;
    if (gap === 0 && this.segment.address !== 0) this.at += 4096 - ((this.segment.address + this.at) % 4096);
    iovs.push(this.segment, this.at, bytes);
    this.at += bytes + 1;
  }
}

function each(iovs: IoVecs, fn: (index: number, done: number) => void): void {
  let done = 0;
  for (let i = 0; i < iovs.count; i++) {
    for (let b = 0; b < iovs.bytes[i]; b++) fn(iovs.offset[i] + b, done++);
  }
}

/** Runs batches on `bdev`, whose content `model` says, from all reactors of the cluster. The arrays must agree throughout. */
export async function runModel(cluster: Cluster, bdev: Bdev, model: Uint8Array, batches: ModelOp[][]): Promise<void> {
  const block = bdev.blockSizeBytes;
  const descs = cluster.reactors.map((reactor) =>
    BdevDesc.open(bdev.name, { write: true, reactor, onEvent: () => {} }),
  );
  const channels = descs.map((desc) => desc.getIoChannel());
  for (const batch of batches) {
    const busy = new Set<number>();
    const arena = new Arena(
      cluster,
      batch.reduce((sum, op) => sum + op.blocks * block + (op.pieces.length + 1) * 8400, 8192),
    );
    const checks: (() => void)[] = [];
    let outstanding = 0;
    for (const op of batch) {
      const blocks = Math.min(op.blocks, bdev.blocks - op.lba);
      const lbas = Array.from({ length: blocks }, (_, i) => op.lba + i);
      if (op.kind !== 'flush') {
        if (lbas.some((lba) => busy.has(lba))) continue;
        for (const lba of lbas) busy.add(lba);
      }
      const channel = channels[op.reactor % channels.length];
      outstanding++;
      const done = (_: unknown, status: number): void => {
        outstanding--;
        assert.equal(status, 0, `${op.kind} of ${blocks} blocks at ${op.lba}`);
      };
      assert.equal(start(channel, op, blocks, block, arena, model, checks, done), 0);
    }
    await cluster.untilTrue(() => outstanding === 0);
    for (const check of checks) check();
    for (let i = 0; i < 64; i++) assert.equal(arena.segment.u8[i], GUARD, 'memory before the buffers is untouched');
    cluster.forget(arena.segment);
    await readBack(cluster, channels[channels.length - 1], busy, block, model);
  }
  for (const desc of descs) desc.close();
}

function start(
  channel: BdevChannel,
  op: ModelOp,
  blocks: number,
  block: number,
  arena: Arena,
  model: Uint8Array,
  checks: (() => void)[],
  done: (ctx: unknown, status: number) => void,
): number {
  const at = op.lba * block;
  const bytes = blocks * block;
  switch (op.kind) {
    case 'flush':
      return channel.flush(0, model.length, done, null);
    case 'unmap':
      model.fill(0, at, at + bytes);
      return channel.unmap(at, bytes, done, null);
    case 'zero':
      model.fill(0, at, at + bytes);
      return channel.writeZeroes(at, bytes, op.flags, done, null);
    case 'write': {
      const iovs = arena.vecs(bytes, op);
      each(iovs, (index, i) => {
        const value = (i * 31 + op.seed + (i >> 8)) & 255;
        arena.segment.u8[index] = value;
        model[at + i] = value;
      });
      if (iovs.count > 1) return channel.writev(iovs, at, done, null, op.flags & IO_FLAG_FUA);
      return channel.write(arena.segment, iovs.offset[0], at, bytes, done, null, op.flags & IO_FLAG_FUA);
    }
    default: {
      const iovs = arena.vecs(bytes, op);
      const expected = model.slice(at, at + bytes);
      checks.push(() => {
        each(iovs, (index, i) => {
          if (arena.segment.u8[index] !== expected[i]) assert.fail(`read at ${at}: byte ${i} differs`);
        });
        for (let i = 0; i < iovs.count; i++) {
          assert.equal(arena.segment.u8[iovs.offset[i] + iovs.bytes[i]], GUARD, 'memory behind a piece is untouched');
        }
      });
      if (iovs.count > 1) return channel.readv(iovs, at, done, null);
      return channel.read(arena.segment, iovs.offset[0], at, bytes, done, null);
    }
  }
}

async function readBack(
  cluster: Cluster,
  channel: BdevChannel,
  lbas: Set<number>,
  block: number,
  model: Uint8Array,
): Promise<void> {
  const buf = cluster.memory(lbas.size * block + 1);
  let outstanding = 0;
  let i = 0;
  for (const lba of lbas) {
    outstanding++;
    const rc = channel.read(
      buf,
      i++ * block,
      lba * block,
      block,
      (_, status) => {
        outstanding--;
        assert.equal(status, 0);
      },
      null,
    );
    assert.equal(rc, 0);
  }
  await cluster.untilTrue(() => outstanding === 0);
  i = 0;
  for (const lba of lbas) {
    const got = buf.u8.subarray(i * block, (i + 1) * block);
    assert.ok(Buffer.compare(Buffer.from(got), model.subarray(lba * block, (lba + 1) * block)) === 0, `block ${lba}`);
    i++;
  }
  cluster.forget(buf);
}
