/** All rules of all disks: added, listed and removed here, on the app core, and replayed on every reactor. Control path. */
import { SpdkError } from '../../env/errors.ts';
import { limits } from '../../env/limits.ts';
import { localKey, type Reactor } from '../../event/reactor.ts';
import type { Bdev } from '../bdev.ts';
import { callAll } from '../call-all.ts';
import { bdevManager } from '../manager.ts';
import { countStuck, resumeStuck, setFaults } from './control.ts';
import { type ActiveFault, RULE_WORDS, SEEN, STRUCK } from './fault-set.ts';
import { type FaultInput, type FaultRule, faultRule } from './rule.ts';

/** A rule and what it has done. */
export interface FaultInfo {
  readonly id: number;
  readonly name: string;
  readonly rule: FaultRule;
  /** I/Os that it would have struck, but for skip, every, count and probability. */
  readonly seen: number;
  readonly struck: number;
}

interface DiskFaults {
  readonly bdev: Bdev;
  readonly state: SharedArrayBuffer;
  rules: ActiveFault[];
}

/** The application's fault rules, see `faultRegistry`. App core only. */
export class FaultRegistry {
  readonly #reactor: Reactor;
  readonly #disks = new Map<number, DiskFaults>();
  #ids = 0;

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
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

  async #apply({ bdev, rules, state }: DiskFaults): Promise<void> {
    await callAll(this.#reactor, setFaults, { id: bdev.id, rules, state });
  }

  /**
   * Adds a rule to the disk `name`, behind those that it has. Without a seed one is drawn; the rule that is listed says which.
   * @returns its number
   * @throws {SpdkError} ENODEV; EINVAL what is wrong with the rule; ENOSPC past limits.bdev_faults_max
   */
  async add(name: string, input: FaultInput | string): Promise<number> {
    let rule = faultRule(input);
    if (rule.seed === 0) rule = { ...rule, seed: 1 + Math.floor(Math.random() * 0xffff_fffe) };
    const disk = this.#of(name);
    if (disk.rules.length >= limits.bdev_faults_max) {
      throw new SpdkError('ENOSPC', `bdev "${name}" has ${disk.rules.length} fault rules, limit reached`);
    }
    const id = ++this.#ids;
    const counters = new SharedArrayBuffer(RULE_WORDS * 4);
    disk.rules = [...disk.rules, { id, rule, counters, addedUs: this.#reactor.clock.read() }];
    await this.#apply(disk);
    return id;
  }

  /** Takes the rule `id` away. @throws {SpdkError} ENOENT */
  async remove(id: number): Promise<void> {
    for (const disk of this.#disks.values()) {
      if (!disk.rules.some((each) => each.id === id)) continue;
      disk.rules = disk.rules.filter((each) => each.id !== id);
      await this.#apply(disk);
      return;
    }
    throw new SpdkError('ENOENT', `no fault rule ${id}`);
  }

  /** Takes away the rules of a disk that `which` says. */
  async clear(name: string, which: (rule: FaultRule) => boolean = () => true): Promise<void> {
    const disk = this.#of(name);
    disk.rules = disk.rules.filter(({ rule }) => !which(rule));
    await this.#apply(disk);
  }

  /** The rules of one disk, or of all, in the order in which they are tried. @throws {SpdkError} ENODEV */
  list(name?: string): FaultInfo[] {
    const disks = name === undefined ? [...this.#disks.values()] : [this.#of(name)];
    return disks
      .filter(({ bdev }) => this.#isThere(bdev))
      .flatMap(({ bdev, rules }) =>
        rules.map(({ id, rule, counters }) => {
          const words = new Int32Array(counters);
          const [seen, struck] = [Atomics.load(words, SEEN), Atomics.load(words, STRUCK)];
          return { id, name: bdev.name, rule, seen, struck };
        }),
      );
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
}

const key = localKey('bdev_faults', (reactor) => new FaultRegistry(reactor));

/** The application's fault rules. App core only. */
export function faultRegistry(reactor: Reactor): FaultRegistry {
  return reactor.local(key);
}
