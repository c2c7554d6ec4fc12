/**
 * Subsystems: the parts of an application with a beginning and an end, in order of what they depend on.
 *
 * Initialised one after the other, each after what it depends on; finished in reverse, and only those that were initialised. A subsystem
 * names the modules that every reactor must load for it, since event and control functions are registered at module load.
 * SPDK: spdk_subsystem, spdk_subsystem_depend, lib/init/subsystem.c.
 */
import { SpdkError } from '../env/errors.ts';
import type { App } from './app.ts';

/** One call of a saved configuration, as SPDK's JSON configuration has it. */
export interface ConfigCall {
  readonly method: string;
  readonly params?: Record<string, unknown>;
}

/** A part of the application. Control path: all of it runs on the app thread. */
export interface Subsystem {
  readonly name: string;
  /** Names of subsystems that must be initialised before this one. */
  readonly dependsOn?: readonly string[];
  /** File URLs of modules that every reactor loads. */
  readonly modules?: readonly string[];
  /** Registers RPC methods; before any initialisation, so that STARTUP methods can be called. */
  registerRpc?(app: App): void;
  init?(app: App): Promise<void> | void;
  /** The application stops. Called for each, in reverse, before anything is taken down: whoever finishes may wait for I/O. */
  stopping?(app: App): Promise<void> | void;
  fini?(app: App): Promise<void> | void;
  /** What would have to be called to have this state again. */
  writeConfig?(app: App): ConfigCall[] | Promise<ConfigCall[]>;
}

/**
 * The order of initialisation: as given, but for what a dependency moves forward.
 * @throws {SpdkError} EEXIST for a name given twice, ENOENT for a missing dependency, EDEADLK for a circle.
 */
export function sortSubsystems(subsystems: readonly Subsystem[]): Subsystem[] {
  const byName = new Map<string, Subsystem>();
  for (const subsystem of subsystems) {
    if (byName.has(subsystem.name)) throw new SpdkError('EEXIST', `subsystem "${subsystem.name}" is registered twice`);
    byName.set(subsystem.name, subsystem);
  }
  const sorted: Subsystem[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (subsystem: Subsystem): void => {
    if (done.has(subsystem.name)) return;
    if (path.includes(subsystem.name)) {
      const circle = [...path.slice(path.indexOf(subsystem.name)), subsystem.name].join(' → ');
      throw new SpdkError('EDEADLK', `subsystems depend on each other in a circle: ${circle}`);
    }
    path.push(subsystem.name);
    for (const name of subsystem.dependsOn ?? []) {
      const needed = byName.get(name);
      if (needed === undefined) {
        throw new SpdkError('ENOENT', `subsystem "${subsystem.name}" depends on "${name}", which is not there`);
      }
      visit(needed);
    }
    path.pop();
    done.add(subsystem.name);
    sorted.push(subsystem);
  };
  for (const subsystem of subsystems) visit(subsystem);
  return sorted;
}

/** Initialises in order, remembers how far it came, finishes in reverse. */
export class SubsystemGraph {
  readonly order: readonly Subsystem[];
  readonly #initialised: Subsystem[] = [];

  constructor(subsystems: readonly Subsystem[]) {
    this.order = sortSubsystems(subsystems);
  }

  /** Names of those that are initialised, in order. */
  get initialised(): string[] {
    return this.#initialised.map((subsystem) => subsystem.name);
  }

  /**
   * Initialises the rest of the graph. Stops at the first failure, which is thrown; `fini` then undoes what was done.
   * @param cancelled asked between two subsystems: true ends the initialisation early (a stop came in the middle).
   */
  async init(app: App, cancelled: () => boolean): Promise<void> {
    for (const subsystem of this.order) {
      if (cancelled()) return;
      if (this.#initialised.includes(subsystem)) continue;
      await subsystem.init?.(app);
      this.#initialised.push(subsystem);
    }
  }

  /** Tells all that the application stops, in reverse order. The errors come back. */
  async stopping(app: App): Promise<SubsystemError[]> {
    const errors: SubsystemError[] = [];
    for (const each of [...this.#initialised].reverse()) await attempt(app, each, () => each.stopping?.(app), errors);
    return errors;
  }

  /** Finishes in reverse order. A failing one does not keep the others from finishing; the errors come back. */
  async fini(app: App): Promise<SubsystemError[]> {
    const errors: SubsystemError[] = [];
    for (let each = this.#initialised.pop(); each !== undefined; each = this.#initialised.pop()) {
      const last = each;
      await attempt(app, last, () => last.fini?.(app), errors);
    }
    return errors;
  }
}

interface SubsystemError {
  readonly name: string;
  readonly error: unknown;
}

async function attempt(
  app: App,
  { name }: Subsystem,
  work: () => Promise<void> | void,
  errors: SubsystemError[],
): Promise<void> {
  try {
    await app.endOf(work());
  } catch (error) {
    errors.push({ name, error });
  }
}
