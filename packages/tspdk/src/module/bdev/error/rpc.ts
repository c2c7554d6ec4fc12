/** bdev_error_create, _inject_error, _resume_pending, _delete (SPDK: module/bdev/error/vbdev_error_rpc.c), in terms of fault rules. */
import type { BdevRegistry, FaultInput, FaultRegistry } from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';
import { errorBdevName } from './error-bdev.ts';

const IO_TYPES = ['clear', 'read', 'write', 'unmap', 'flush', 'all'] as const;
const ERROR_TYPES = ['failure', 'pending', 'corrupt_data', 'nomem', 'nvme_failure'] as const;
/** SPDK's words for what goes wrong, and the kit's. */
const ACTION = {
  failure: 'error',
  pending: 'stuck',
  corrupt_data: 'corrupt',
  nomem: 'nomem',
  // Without NVMe below there is no status of its own to give: an I/O error.
  nvme_failure: 'error',
} as const;

export function registerErrorRpc(
  rpc: RpcRegistry,
  deps: { registry: () => BdevRegistry; faults: () => FaultRegistry },
): void {
  const errorDisk = (name: string): void => {
    const { moduleName } = deps.registry().get(name);
    if (moduleName !== 'error') throw new SpdkError('ENODEV', `bdev "${name}" is of module ${moduleName}, not error`);
  };
  rpc.register({
    name: 'bdev_error_create',
    states: RPC_RUNTIME,
    params: [
      { name: 'base_name', type: 'string', required: true, description: 'The bdev to pass to' },
      { name: 'uuid', type: 'uuid', description: 'Default: one that follows from the base’s' },
    ],
    summary: 'Makes EE_BASE, a disk on BASE that fails on demand, now or when BASE comes, and whenever it comes back.',
    handler: async (params) => {
      const name = errorBdevName(params.base_name);
      const call = { method: 'bdev_error_create', params };
      await deps.registry().createOn(params.base_name, 'error', { ...params, name }, call);
      return true;
    },
  });
  rpc.register({
    name: 'bdev_error_inject_error',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'An error bdev, EE_...' },
      {
        name: 'io_type',
        type: 'enum',
        class: 'bdev_error_inject_io_type',
        values: IO_TYPES,
        required: true,
        description: 'What it applies to; clear: nothing goes wrong any more',
      },
      {
        name: 'error_type',
        type: 'enum',
        class: 'bdev_error_inject_error_type',
        values: ERROR_TYPES,
        required: true,
        description: 'What goes wrong',
      },
      { name: 'num', type: 'uint32', default: 1, description: 'How often' },
      { name: 'queue_depth', type: 'uint64', default: 0, description: 'Only while so many I/Os are under way' },
      { name: 'corrupt_offset', type: 'uint64', default: 0, description: 'Byte of the I/O' },
      { name: 'corrupt_value', type: 'uint8', default: 0, description: 'What it becomes; 0: its bits turned over' },
      { name: 'nvme_sct', type: 'uint32', description: 'Accepted; the I/O ends with EIO' },
      { name: 'nvme_sc', type: 'uint32', description: 'Accepted; the I/O ends with EIO' },
    ],
    summary: 'Has the next I/Os of an error bdev go wrong. fault_add can do more, on any bdev.',
    handler: async ({ name, io_type, error_type, num, queue_depth, corrupt_offset, corrupt_value }) => {
      errorDisk(name);
      if (io_type === 'clear') {
        await deps.faults().clear(name);
        await deps.faults().resume(name);
        return true;
      }
      const rule: FaultInput = { op: io_type, action: ACTION[error_type], count: num, queue_depth };
      if (error_type !== 'corrupt_data') {
        await deps.faults().add(name, rule);
        return true;
      }
      const how = { corrupt_offset, ...(corrupt_value === 0 ? {} : { corrupt_value }) };
      for (const op of io_type === 'all' ? (['read', 'write'] as const) : [io_type]) {
        await deps.faults().add(name, { ...rule, op, ...how });
      }
      return true;
    },
  });
  rpc.register({
    name: 'bdev_error_resume_pending',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'An error bdev, EE_...' }],
    summary: 'Has I/Os that error_type pending holds carried out.',
    handler: async ({ name }) => {
      errorDisk(name);
      await deps.faults().resume(name);
      return true;
    },
  });
  rpc.register({
    name: 'bdev_error_delete',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'An error bdev, EE_...' }],
    summary: 'Removes an error disk, or one that waits for its base.',
    handler: async ({ name }) => {
      await deps.registry().delete(name, 'error');
      return true;
    },
  });
}
