/**
 * The rules of one disk on one reactor, and which I/O each applies to. Data path of a disk with rules; a disk without has no set and pays a test for null.
 *
 * What rules count (how many I/Os they have seen, how often they have struck) and the disk's state stand in shared words: "the third write" is the third of all
 * cores. What is drawn is drawn on each core, from the rule's seed and the core's number, so that one core's faults are the same again for the same I/Os.
 */
import { Random } from '../../env/random.ts';
import { LineLimit, log } from '../../log/index.ts';
import type { BdevIo } from '../bdev-io.ts';
import { IO_FLAG_EMULATED, IO_TYPE_NAMES } from '../io-type.ts';
import type { ThreadChannel } from '../thread-channel.ts';
import { FaultIo } from './fault-io.ts';
import { FAULT_OPS, type FaultRule, faultStatus } from './rule.ts';

const faultLog = log.register('fault');
const LINES_PER_SECOND = 10;

/** Words of a rule. */
export const SEEN = 0;
export const STRUCK = 1;
export const RULE_WORDS = 2;

/** A rule as it crosses to every reactor. */
export interface ActiveFault {
  readonly id: number;
  readonly rule: FaultRule;
  /** RULE_WORDS words. */
  readonly counters: SharedArrayBuffer;
  /** On the clock that all reactors share, µs. */
  readonly addedUs: number;
}

/** One rule on one reactor. */
class Watch {
  readonly id: number;
  readonly rule: FaultRule;
  readonly status: number;
  readonly ops: number;
  readonly fromByte: number;
  readonly endByte: number;
  readonly fromUs: number;
  readonly endUs: number;
  readonly counters: Int32Array;
  readonly random: Random;

  constructor({ id, rule, counters, addedUs }: ActiveFault, blockBytes: number, core: number) {
    this.id = id;
    this.rule = rule;
    this.status = faultStatus(rule);
    this.ops = FAULT_OPS[rule.op];
    this.fromByte = rule.offset_blocks * blockBytes;
    this.endByte = rule.num_blocks === 0 ? Number.POSITIVE_INFINITY : this.fromByte + rule.num_blocks * blockBytes;
    this.fromUs = addedUs + rule.start_ms * 1000;
    this.endUs = rule.duration_ms === 0 ? Number.POSITIVE_INFINITY : this.fromUs + rule.duration_ms * 1000;
    this.counters = new Int32Array(counters);
    this.random = new Random((rule.seed + Math.imul(core, 0x9e3779b9)) >>> 0);
  }

  /** Whether it strikes `io` now; counts. */
  strikes(io: BdevIo, state: number, nowUs: number): boolean {
    const { rule, counters } = this;
    if ((this.ops & (1 << io.type)) === 0) return false;
    if (io.byteOffset >= this.endByte || io.byteOffset + io.bytes <= this.fromByte) return false;
    if (rule.connection !== 0 && rule.connection !== io.connection) return false;
    if (rule.state !== 0 && rule.state !== state) return false;
    if (nowUs < this.fromUs || nowUs >= this.endUs) return false;
    const seen = Atomics.add(counters, SEEN, 1) - rule.skip;
    if (seen < 0 || (rule.every > 1 && seen % rule.every !== rule.every - 1)) return false;
    if (rule.probability < 1 && !this.random.chance(rule.probability)) return false;
    if (Atomics.add(counters, STRUCK, 1) < rule.count || rule.count === 0) return true;
    Atomics.sub(counters, STRUCK, 1);
    return false;
  }

  /** µs that this one is delayed by. */
  delayUs(): number {
    const { distribution, delay_us, delay_max_us } = this.rule;
    if (distribution === 'uniform') return delay_us + this.random.next() * Math.max(0, delay_max_us - delay_us);
    if (distribution === 'exponential') return -Math.log(1 - this.random.next()) * delay_us;
    if (distribution === 'p99') return this.random.chance(0.01) ? delay_max_us : delay_us;
    return delay_us;
  }
}

export class FaultSet {
  readonly #watches: Watch[];
  readonly #state: Int32Array;
  readonly #limit = new LineLimit(LINES_PER_SECOND);
  /** I/Os that are stuck here. */
  readonly stuck: Set<FaultIo>;

  /** @param stuck of the set that this one replaces */
  constructor(
    rules: readonly ActiveFault[],
    state: SharedArrayBuffer,
    blockBytes: number,
    core: number,
    stuck: Set<FaultIo>,
  ) {
    this.#watches = rules.map((rule) => new Watch(rule, blockBytes, core));
    this.#state = new Int32Array(state);
    this.stuck = stuck;
  }

  /** Has `io` go wrong, if a rule says so; the first that does. True when it is taken care of. */
  strike(channel: ThreadChannel, io: BdevIo): boolean {
    // It ends with the reset under way: one that were held up would hold the reset up.
    if (channel.resetting > 0) return false;
    const { nowUs } = channel.manager.reactor.clock;
    const state = Atomics.load(this.#state, 0);
    for (const watch of this.#watches) {
      if (channel.outstanding < watch.rule.queue_depth || !watch.strikes(io, state, nowUs)) continue;
      if (watch.rule.new_state !== 0) Atomics.store(this.#state, 0, watch.rule.new_state);
      if (this.#limit.allows(nowUs)) this.#tell(channel, io, watch);
      this.#act(channel, io, watch);
      return true;
    }
    return false;
  }

  #tell(channel: ThreadChannel, { type, byteOffset, bytes }: BdevIo, { id, rule }: Watch): void {
    const what = `${IO_TYPE_NAMES[type]} of ${bytes} bytes at ${byteOffset}`;
    faultLog.notice(`bdev "${channel.bdev.name}": fault ${id} (${rule.action}) on a ${what}${this.#limit.note}`);
  }

  #act(channel: ThreadChannel, io: BdevIo, watch: Watch): void {
    const { action, stage } = watch.rule;
    if (action === 'error' && stage === 'submission') channel.fail(io, watch.status);
    else if (action === 'nomem') channel.refuse(io);
    else {
      const delayUs = action === 'delay' ? watch.delayUs() : 0;
      new FaultIo(watch.rule, watch.status, delayUs, this).begin(channel, io);
      // It is this that is counted, with the delay, and not its child.
      io.flags &= ~IO_FLAG_EMULATED;
    }
  }
}
