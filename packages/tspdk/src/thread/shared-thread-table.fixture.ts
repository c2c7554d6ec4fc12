/** A worker of shared-thread-table.test.ts: takes and gives back places as fast as it can. */
import { parentPort, workerData } from 'node:worker_threads';
import { Cpuset } from '../env/cpuset.ts';
import { SharedThreadTable, SLOT_EXITING, SLOT_RUNNING } from './shared-thread-table.ts';

/** What the test passes. */
export interface TableJob {
  readonly table: SharedArrayBuffer;
  readonly core: number;
  readonly times: number;
}

const job = workerData as TableJob;
const table = new SharedThreadTable(job.table);
const ids: number[] = [];
const held: number[] = [];
for (let i = 0; i < job.times; i++) {
  const id = table.allocate(`core_${job.core}`, job.core, new Cpuset([job.core]));
  ids.push(id);
  held.push(id);
  table.setState(id, SLOT_RUNNING);
  if (held.length < 3) continue;
  const leaver = held.shift() as number;
  table.setState(leaver, SLOT_EXITING);
  table.free(leaver);
}
for (const id of held) table.free(id);
parentPort?.postMessage(ids);
