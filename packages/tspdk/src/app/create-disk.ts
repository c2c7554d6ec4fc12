/**
 * Makes the disk that a command line names (disk-argument.ts), for the programs that take one: serve, perf, conform.
 */
import { bdevRegistry, faultRegistry, faultRule } from '../bdev/index.ts';
import { SpdkError } from '../env/errors.ts';
import type { App } from '../event/index.ts';
import { type DiskArgument, keyAndValue } from './disk-argument.ts';
import { type DiskUse, diskRecipe, nameOf, whatIs } from './disk-recipe.ts';

/** The disk, how to open it, and what is to go wrong with it. */
export interface DiskOptions extends DiskUse {
  readonly disk: DiskArgument;
  /** Fault rules, beyond those that the disk's name has. */
  readonly faults?: readonly string[];
}

/** What `--fault RULE` and `--option KEY=VALUE` say. @throws {SpdkError} EINVAL naming what is wrong with which */
export function diskWords(extra: ReadonlyMap<string, readonly string[]>): Pick<DiskOptions, 'faults' | 'options'> {
  const faults = extra.get('fault') ?? [];
  for (const rule of faults) faultRule(rule);
  const options = Object.fromEntries((extra.get('option') ?? []).map((word) => keyAndValue('--option', word)));
  return { faults, options };
}

/**
 * What says something of a DISK that is not there is refused; faults may strike the disk `bdevName` of a configuration.
 * @throws {SpdkError} EINVAL naming the flag
 */
export function refuseDiskWords(extra: ReadonlyMap<string, readonly string[]>, bdevName: string | null): void {
  const words = ['option', 'block-size', 'direct', 'read-only', ...(bdevName === null ? ['fault'] : [])];
  const word = words.find((each) => extra.has(each));
  if (word !== undefined) throw new SpdkError('EINVAL', `--${word}: there is no DISK that it would be for`);
}

/** What a disk is called that has no name of its own; the lowest number that is free follows. */
const PREFIXES = { memory: 'Malloc', null: 'Null', nbd: 'Nbd', rbd: 'Ceph', file: 'File', module: 'Disk' } as const;

/**
 * Makes the disk; returns its bdev's name and what to call it.
 * @throws {SpdkError} EINVAL when the size is no multiple of the block size; what the kind of disk throws.
 */
export async function createDisk(app: App, options: DiskOptions): Promise<{ bdevName: string; what: string }> {
  const { disk } = options;
  const registry = bdevRegistry(app.reactor);
  const name = nameOf(disk) ?? registry.freeName(PREFIXES[disk.kind]);
  const { module, params } = diskRecipe(name, disk, options);
  await registry.create(module, params);
  await addFaults(app, name, [...(disk.faults ?? []), ...(options.faults ?? [])]);
  return { bdevName: name, what: whatIs(disk) };
}

/** Has something go wrong with a disk that is there. @throws {SpdkError} ENODEV */
export async function addFaults(app: App, bdevName: string, rules: readonly string[]): Promise<void> {
  // What looks at a new disk is not what the rules are for.
  if (rules.length > 0) await bdevRegistry(app.reactor).waitForExamine();
  for (const rule of rules) await faultRegistry(app.reactor).add(bdevName, rule);
}
