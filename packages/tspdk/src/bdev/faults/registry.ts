/**
 * All rules of all disks: added, listed and removed here, on the app core, and replayed on every reactor. Control path.
 *
 * Rules are configuration: `configCalls` has what makes them again. What they have counted, and the state of their disk, is not.
 */
import { SpdkError } from '../../env/errors.ts';
import { limits } from '../../env/limits.ts';
import { localKey, type Reactor } from '../../event/reactor.ts';
import type { Bdev } from '../bdev.ts';
import { callAll } from '../call-all.ts';
import { bdevManager } from '../manager.ts';
import { type BdevConfigCall, unitBlocks } from '../module.ts';
import { countStuck, endFaults, resumeStuck, setFaults } from './control.ts';
import { type FaultInput, faultRule, faultText } from './rule.ts';
import { checkUnits } from './rule-check.ts';
import { struckListener } from './struck.ts';
import type { FaultRule } from './vocabulary.ts';
import { type ActiveFault, RULE_WORDS, STRUCK, seenBy, TOLD } from './watch.ts';

/** Between two reports of one rule's strikes. */
const REPORT_US = 1_000_000;

/** A rule and what it has done. */
export interface FaultInfo {
  readonly id: number;
  readonly name: string;
  readonly rule: FaultRule;
  /** I/Os that it would have struck, but for skip, every, count and probability. */
  readonly seen: number;
  readonly struck: number;
}

/** A rule that a module makes for a disk. */
export interface MadeFault {
  readonly rule: FaultInput;
  /** What makes it again, for save_config; null: what makes its disk. */
  readonly call: BdevConfigCall | null;
}

interface KnownFault extends ActiveFault {
  /** The module that made it; '': it was added. */
  readonly by: string;
  readonly call: BdevConfigCall | null;
  readonly words: Int32Array;
  /** Strikes that have been reported. */
  reported: number;
}

interface DiskFaults {
  readonly bdev: Bdev;
  readonly state: SharedArrayBuffer;
  rules: readonly KnownFault[];
}

/** The application's fault rules, see `faultRegistry`. App core only. */
export class FaultRegistry {
  readonly #reactor: Reactor;
  readonly #disks = new Map<number, DiskFaults>();
  #ids = 0;
  #closed = false;
  /** A rule has struck; at most once a second for each. */
  onStruck: (fault: FaultInfo) => void = () => {};

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
    reactor.local(struckListener).onStruck = (bdevId, id) => {
      const disk = this.#disks.get(bdevId);
      const known = disk?.rules.find((each) => each.id === id);
      if (disk !== undefined && known !== undefined) this.#report(disk, known);
    };
  }

  #of(name: string): DiskFaults {
    const bdev = this.#reactor.local(bdevManager).get(name);
    // Rules go with their disk.
    for (const [id, faults] of this.#disks) if (!this.#isThere(faults.bdev)) this.#disks.delete(id);
    let disk = this.#disks.get(bdev.id);
    if (disk === undefined) {
      disk = { bdev, state: new SharedArrayBuffer(4), rules: [] };
      new Int32Array(disk.state)[0] = 1;
      this.#disks.set(bdev.id, disk);
    }
    return disk;
  }

  #isThere(bdev: Bdev): boolean {
    return this.#reactor.local(bdevManager).byId.get(bdev.id) === bdev;
  }

  async #set(disk: DiskFaults, rules: readonly KnownFault[]): Promise<void> {
    if (rules.length > limits.bdev_faults_max) {
      throw new SpdkError(
        'ENOSPC',
        `bdev "${disk.bdev.name}" has ${disk.rules.length} fault rules, limit ${limits.bdev_faults_max}`,
      );
    }
    if (this.#closed && rules.length > 0) {
      throw new SpdkError('ESHUTDOWN', `bdev "${disk.bdev.name}" takes no fault rules: the application is stopping`);
    }
    disk.rules = rules;
    const active = rules.map(({ id, rule, counters, addedUs }): ActiveFault => ({ id, rule, counters, addedUs }));
    await callAll(this.#reactor, setFaults, { id: disk.bdev.id, rules: active, state: disk.state });
  }

  #known({ name, limits }: Bdev, input: FaultInput | string, by: string, call: BdevConfigCall | null): KnownFault {
    const said = faultRule(input);
    checkUnits(said, name, unitBlocks(limits));
    const rule = said.seed === 0 ? { ...said, seed: 1 + Math.floor(Math.random() * 0xffff_fffe) } : said;
    const counters = new SharedArrayBuffer(RULE_WORDS * 4);
    const addedUs = this.#reactor.clock.read();
    return { id: ++this.#ids, rule, counters, addedUs, by, call, words: new Int32Array(counters), reported: 0 };
  }

  /**
   * Adds a rule to the disk `name`, behind those that it has. Without a seed one is drawn; the rule that is listed says which.
   * @returns its number
   * @throws {SpdkError} ENODEV; EINVAL what is wrong with the rule; ENOSPC past limits.bdev_faults_max; ESHUTDOWN
   */
  async add(name: string, input: FaultInput | string): Promise<number> {
    const disk = this.#of(name);
    const known = this.#known(disk.bdev, input, '', null);
    await this.#set(disk, [...disk.rules, known]);
    return known.id;
  }

  /**
   * For a module: puts rules in the place of those that it has made for the disk `name` and `which` says, in one step; behind the others when there are none.
   * @param by the module's name
   * @throws as `add`
   */
  async replace(
    name: string,
    by: string,
    which: (rule: FaultRule) => boolean,
    made: readonly MadeFault[],
  ): Promise<void> {
    const disk = this.#of(name);
    const fresh = made.map(({ rule, call }) => this.#known(disk.bdev, rule, by, call));
    const goes = (known: KnownFault): boolean => known.by === by && which(known.rule);
    const first = disk.rules.findIndex(goes);
    const at = first < 0 ? disk.rules.length : first;
    const rest = disk.rules.slice(at).filter((known) => !goes(known));
    await this.#set(disk, [...disk.rules.slice(0, at), ...fresh, ...rest]);
  }

  /** Takes the rule `id` away. @throws {SpdkError} ENOENT */
  async remove(id: number): Promise<void> {
    for (const disk of this.#disks.values()) {
      if (!this.#isThere(disk.bdev) || !disk.rules.some((each) => each.id === id)) continue;
      await this.#set(
        disk,
        disk.rules.filter((each) => each.id !== id),
      );
      return;
    }
    throw new SpdkError('ENOENT', `no fault rule ${id}`);
  }

  /** Takes away all rules of a disk. @throws {SpdkError} ENODEV */
  async clear(name: string): Promise<void> {
    await this.#set(this.#of(name), []);
  }

  /** The rules of one disk, or of all, in the order in which they are tried. @throws {SpdkError} ENODEV */
  list(name?: string): FaultInfo[] {
    const disks = name === undefined ? [...this.#disks.values()] : [this.#of(name)];
    return disks
      .filter(({ bdev }) => this.#isThere(bdev))
      .flatMap((disk) => disk.rules.map((known) => this.#info(disk, known)));
  }

  #info({ bdev }: DiskFaults, { id, rule, words }: KnownFault): FaultInfo {
    return { id, name: bdev.name, rule, seen: seenBy(words), struck: Atomics.load(words, STRUCK) >>> 0 };
  }

  /** A rule has struck since it was reported, or was asked again. */
  #report(disk: DiskFaults, known: KnownFault): void {
    const info = this.#info(disk, known);
    if (info.struck !== known.reported) this.onStruck(info);
    known.reported = info.struck;
    this.#reactor.local(bdevManager).retryAfter(REPORT_US, { retry: () => this.#reportNext(disk, known) });
  }

  /** From now on the next strike sends an event (struck.ts), unless there has been one since the last report: that is reported here. */
  #reportNext(disk: DiskFaults, known: KnownFault): void {
    if (!this.#isThere(disk.bdev) || !disk.rules.includes(known)) return;
    Atomics.store(known.words, TOLD, 0);
    // A strike counts before it looks at TOLD. So either it is seen here, or it finds the 0 and sends.
    if (Atomics.load(known.words, STRUCK) >>> 0 === known.reported) return;
    if (Atomics.exchange(known.words, TOLD, 1) === 0) this.#report(disk, known);
  }

  /** The disk's state, that rules look at and change. */
  state(name: string): number {
    return Atomics.load(new Int32Array(this.#of(name).state), 0);
  }

  /** @throws {SpdkError} ENODEV; EINVAL when it is not from 1 on */
  setState(name: string, state: number): void {
    if (!(Number.isInteger(state) && state >= 1 && state < 2 ** 31)) {
      throw new SpdkError('EINVAL', `fault state ${state} of bdev "${name}", may be 1 to ${2 ** 31 - 1}`);
    }
    Atomics.store(new Int32Array(this.#of(name).state), 0, state);
  }

  /** Has what is stuck in a disk carried out. Resolves to how many I/Os that were. @throws {SpdkError} ENODEV */
  async resume(name: string): Promise<number> {
    const counts = await callAll(this.#reactor, resumeStuck, this.#of(name).bdev.id);
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** How many I/Os are stuck in a disk. @throws {SpdkError} ENODEV */
  async stuck(name: string): Promise<number> {
    const counts = await callAll(this.#reactor, countStuck, this.#of(name).bdev.id);
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** The application stops: no rules any more, nor new ones, and what they hold back ends, as if its disk were gone. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#disks.clear();
    await callAll(this.#reactor, endFaults, null);
  }

  /** Calls that make the rules again, once their disks are there. */
  configCalls(): BdevConfigCall[] {
    return [...this.#disks.values()]
      .filter(({ bdev }) => this.#isThere(bdev))
      .flatMap(({ bdev: { name }, rules }) =>
        rules.flatMap(({ rule, by, call }) => {
          if (by === '') return [{ method: 'fault_add', params: { name, rule: faultText(rule) } }];
          return call === null ? [] : [call];
        }),
      );
  }
}

const key = localKey('bdev_faults', (reactor) => new FaultRegistry(reactor));

/** The application's fault rules. App core only. */
export function faultRegistry(reactor: Reactor): FaultRegistry {
  return reactor.local(key);
}
