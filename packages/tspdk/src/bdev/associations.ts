/**
 * Which disk is to stand on which, for kinds of disk that come back with their base (SPDK: the lists of names that passthru, delay, error and split keep).
 *
 * An association lasts from the call that asks for the disk until the call that deletes it, whether the disk is there or waits for its base: because there is none yet, because it has gone, or
 * because making the disk on it has failed. App core only.
 */
import { SpdkError } from '../env/errors.ts';
import type { Bdev } from './bdev.ts';
import { type BdevConfigCall, bdevModule } from './module.ts';

export interface Association {
  /** Of what it stands on: its name or alias, as asked for. */
  readonly base: string;
  readonly moduleName: string;
  /** Of the disk that is made next. */
  params: { readonly name: string };
  /** What saves it while it waits. */
  calls: readonly BdevConfigCall[];
  /** Null while it waits. */
  bdev: Bdev | null;
  /** It is being made. */
  busy: boolean;
}

export class Associations {
  readonly #byName = new Map<string, Association>();

  /** @throws {SpdkError} EEXIST when the name has one; ENOENT when there is no such module. */
  add(
    base: string,
    moduleName: string,
    params: { readonly name: string },
    calls: readonly BdevConfigCall[],
  ): Association {
    bdevModule(moduleName);
    if (this.#byName.has(params.name)) throw new SpdkError('EEXIST', `bdev name "${params.name}" is taken`);
    const association: Association = { base, moduleName, params, calls, bdev: null, busy: false };
    this.#byName.set(params.name, association);
    return association;
  }

  get(name: string): Association | undefined {
    return this.#byName.get(name);
  }

  delete(name: string): void {
    this.#byName.delete(name);
  }

  clear(): void {
    this.#byName.clear();
  }

  /** It has not been deleted meanwhile. */
  lasts(association: Association): boolean {
    return this.#byName.get(association.params.name) === association;
  }

  /** All that wait, in the order in which they were asked for; on `base`, or on any. */
  waiting(base?: Bdev): Association[] {
    return [...this.#byName.values()].filter(
      (each) => each.bdev === null && !each.busy && (base === undefined || base.isCalled(each.base)),
    );
  }

  /** A disk has gone: if it has an association, that waits from now on, for a disk that is as this one was last. Returns it. */
  gone(bdev: Bdev): Association | null {
    const association = this.#byName.get(bdev.name);
    if (association?.bdev !== bdev) return null;
    const { reactor } = bdev.manager;
    const module = bdevModule(bdev.moduleName);
    const spec = { ...bdev.spec, blocks: bdev.blocks };
    association.bdev = null;
    association.params = { ...association.params, ...module.changedParams?.(spec), ...{ uuid: bdev.uuid } };
    association.calls = module.configCalls(spec, reactor);
    return association;
  }
}
