/** RPC methods for faults on any disk. SPDK's own for its error and delay disks are with those modules. */
import { SpdkError } from '../../env/errors.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../rpc/index.ts';
import type { FaultInfo, FaultRegistry } from './registry.ts';
import { faultText } from './rule.ts';
import { FAULT_ACTIONS, FAULT_DISTRIBUTIONS, FAULT_OPS, FAULT_STAGES } from './vocabulary.ts';

const describe = ({ id, name, rule, seen, struck }: FaultInfo, bdev_state: number) => ({
  id,
  name,
  rule: faultText(rule),
  seen,
  struck,
  bdev_state,
  ...rule,
});

export function registerFaultRpc(rpc: RpcRegistry, deps: { faults: () => FaultRegistry }): void {
  rpc.register({
    name: 'fault_add',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'The bdev' },
      { name: 'rule', type: 'string', description: 'All of it as text: key=value,key=value; then no other parameter' },
      { name: 'op', type: 'enum', values: Object.keys(FAULT_OPS), description: 'What it applies to; default all' },
      { name: 'action', type: 'enum', values: FAULT_ACTIONS, description: 'What goes wrong; default error' },
      {
        name: 'stage',
        type: 'enum',
        values: FAULT_STAGES,
        description: 'When: before the disk has it, or after; default submission',
      },
      { name: 'offset_blocks', type: 'uint64', description: 'First block that it applies to' },
      { name: 'num_blocks', type: 'uint64', description: 'How many; 0: to the end' },
      { name: 'connection', type: 'uint64', description: 'Only of this connection (nbd_get_connections); 0: of any' },
      { name: 'errno', type: 'string', description: 'Name of what it ends with, like ENOSPC; default EIO for error' },
      { name: 'delay_us', type: 'uint64', description: 'Delay, µs, up to an hour' },
      { name: 'delay_max_us', type: 'uint64', description: 'Largest delay of uniform, or the rare one of p99, µs' },
      { name: 'distribution', type: 'enum', values: FAULT_DISTRIBUTIONS, description: 'Of delays; default fixed' },
      { name: 'corrupt_offset', type: 'uint64', description: 'Byte of the I/O' },
      { name: 'corrupt_value', type: 'uint64', description: 'Bits of it that are turned over, 1 to 255; default 255' },
      { name: 'torn_blocks', type: 'uint64', description: 'Blocks of a torn write that reach the disk' },
      { name: 'misdirect_blocks', type: 'int64', description: 'How many blocks further on it goes, or back' },
      { name: 'queue_depth', type: 'uint64', description: 'Only while so many I/Os of the channel are with the disk' },
      { name: 'skip', type: 'uint64', description: 'Lets so many pass first' },
      { name: 'every', type: 'uint64', description: 'Then every so many-th' },
      { name: 'count', type: 'uint64', description: 'At most so often; 0: without end' },
      { name: 'probability', type: 'double', description: 'From 0 to 1; default 1' },
      { name: 'seed', type: 'uint64', description: 'Of what is drawn; default: one is drawn' },
      { name: 'start_ms', type: 'uint64', description: 'Not before so long after now' },
      { name: 'duration_ms', type: 'uint64', description: 'And for so long; 0: without end' },
      { name: 'state', type: 'uint64', description: 'Only in this state of the bdev; 0: in any' },
      { name: 'new_state', type: 'uint64', description: 'The state of the bdev afterwards; 0: unchanged' },
    ],
    summary: 'Has I/Os of a bdev go wrong. Answers the number of the rule.',
    handler: ({ name, rule, ...fields }) => {
      const [other] = Object.keys(fields);
      if (rule !== undefined && other !== undefined) {
        throw new SpdkError('EINVAL', `fault rule: ${other} beside rule, which is all of it`);
      }
      return deps.faults().add(name, rule ?? fields);
    },
  });
  rpc.register({
    name: 'fault_remove',
    states: RPC_RUNTIME,
    params: [{ name: 'id', type: 'uint32', required: true, description: 'Number of the rule' }],
    summary: 'Takes a fault rule away.',
    handler: async ({ id }) => {
      await deps.faults().remove(id);
      return true;
    },
  });
  rpc.register({
    name: 'fault_list',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', description: 'Of one bdev; default all' }],
    summary:
      'Fault rules, in the order in which they are tried, with how many I/Os each has seen and struck, and the state of their bdev.',
    handler: async ({ name }) => {
      const faults = deps.faults();
      return faults.list(name).map((info) => describe(info, faults.state(info.name)));
    },
  });
  rpc.register({
    name: 'fault_set_state',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'The bdev' },
      { name: 'state', type: 'uint32', required: true, description: 'From 1 on' },
    ],
    summary: 'Sets the state that fault rules of a bdev look at.',
    handler: async ({ name, state }) => {
      deps.faults().setState(name, state);
      return true;
    },
  });
  rpc.register({
    name: 'fault_resume',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The bdev' }],
    summary: 'Has the stuck I/Os of a bdev carried out. Answers how many there were.',
    handler: ({ name }) => deps.faults().resume(name),
  });
}
