/** What the tests of faults start from: a stub disk with rules to come, whose I/Os name themselves. */
import { setUp } from '../stub-setup.sim.ts';
import { faultRegistry } from './registry.ts';
import type { FaultInput } from './rule.ts';

export async function faulty(params: Parameters<typeof setUp>[0] = {}) {
  const one = await setUp({ blocks: 1024, ...params });
  const faults = faultRegistry(one.cluster.reactors[0]);
  const add = (rule: FaultInput | string): Promise<number> => one.cluster.until(faults.add('S', rule));
  /** Turns until there is nothing to wait for but what is stuck or delayed. */
  const settle = (): void => {
    for (let i = 0; i < 5; i++) one.cluster.turns();
  };
  return { ...one, faults, add, settle };
}
