/** What the tests of verify disks start from. */
import { type Cluster, startCluster } from '../../../bdev/cluster.sim.ts';
import { describeBdev } from '../../../bdev/rpc.ts';
import { stubChannel } from '../../../bdev/stub-module.sim.ts';
import { channelOf, make, open } from '../../../bdev/stub-setup.sim.ts';
import { verifyModule } from './verify-bdev.ts';

export const over = (cluster: Cluster, base_bdev_name: string, mirror_bdev_name: string) =>
  cluster.until(cluster.bdevs.create(verifyModule.name, { name: 'V', base_bdev_name, mirror_bdev_name }));
export const difference = (cluster: Cluster) =>
  (describeBdev(cluster.bdevs.get('V')).driver_specific as { verify: { difference: string } }).verify.difference;

/** A verify disk on two stubs. */
export async function onStubs(reactors = 1) {
  const cluster = await startCluster({ reactors });
  for (const name of ['A', 'B']) await make(cluster, { name });
  await over(cluster, 'A', 'B');
  const desc = open(cluster, 'V');
  const done: string[] = [];
  const cb = (ctx: unknown, status: number): void => void done.push(`${ctx} ${status}`);
  return { cluster, desc, channel: channelOf(cluster, desc), a: stubChannel('A'), b: stubChannel('B'), done, cb };
}
