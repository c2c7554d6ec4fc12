/**
 * What every reactor is told of a RAID disk, and what a level asks of its members. Structured-cloneable.
 */
import type { BaseRef } from '../../../bdev/index.ts';
import { CONCAT, RAID0, RAID1, RAID5F } from './raid-level.ts';

/** A member, for the reactors. */
export interface RaidMemberRef {
  readonly ref: BaseRef;
  /** Where its data starts. */
  readonly dataOffsetBytes: number;
  readonly dataBytes: number;
}

/** The module's data of a spec. */
export interface RaidData {
  /** Names the disk between cores; never used again. */
  readonly key: number;
  readonly level: number;
  /** 0 for raid1. */
  readonly stripBlocks: number;
  /** Blocks of data of each slot. */
  readonly dataBlocks: readonly number[];
  /** By slot; null: it is missing. */
  readonly members: readonly (RaidMemberRef | null)[];
  /** A segment for parity, cut in equal parts for the cores; 0: none. */
  readonly scratch: number;
}

interface LevelRule {
  readonly level: number;
  /** Least base bdevs (SPDK: base_bdevs_min). */
  readonly least: number;
  /** How many may be missing while it works, of `members`. */
  readonly redundancy: (members: number) => number;
  readonly hasStrips: boolean;
}

const RULES: readonly LevelRule[] = [
  { level: RAID0, least: 1, redundancy: () => 0, hasStrips: true },
  { level: CONCAT, least: 1, redundancy: () => 0, hasStrips: true },
  { level: RAID1, least: 2, redundancy: (members) => members - 1, hasStrips: false },
  { level: RAID5F, least: 3, redundancy: () => 1, hasStrips: true },
];

/** The rule of a level that exists. */
export function levelRule(level: number): LevelRule {
  const rule = RULES.find((each) => each.level === level);
  if (rule === undefined) throw new Error(`assertion failed: there is a RAID level ${level}`);
  return rule;
}
