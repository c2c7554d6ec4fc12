/** bdev_error_create, _inject_error, _resume_pending, _delete (SPDK: module/bdev/error/vbdev_error_rpc.c), in terms of fault rules. */
import type { BdevRegistry, FaultRegistry, MadeFault } from '../../../bdev/index.ts';
import { SpdkError } from '../../../env/errors.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../../rpc/index.ts';
import { errorBdevName } from './error-bdev.ts';

/** Each has one setting. */
const STRUCK_TYPES = ['read', 'write', 'unmap', 'flush'] as const;
const IO_TYPES = ['clear', ...STRUCK_TYPES, 'all'] as const;
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

/** What bdev_error_inject_error is given. */
interface Injection {
  readonly name: string;
  readonly io_type: (typeof IO_TYPES)[number];
  readonly error_type: (typeof ERROR_TYPES)[number];
  readonly num: number;
  readonly queue_depth: number;
  readonly corrupt_offset: number;
  readonly corrupt_value: number;
  readonly nvme_sct: number;
  readonly nvme_sc: number;
}

/** @throws {SpdkError} EINVAL, where SPDK's says so */
function check({ error_type, corrupt_value, nvme_sct, nvme_sc }: Injection): void {
  if (error_type === 'corrupt_data' && corrupt_value === 0) {
    throw new SpdkError('EINVAL', 'corrupt_value 0 turns no bit over, may be 1 to 255 for error_type corrupt_data');
  }
  const given = nvme_sct !== 0 || nvme_sc !== 0;
  if (given && error_type !== 'nvme_failure') {
    throw new SpdkError(
      'EINVAL',
      `nvme_sct ${nvme_sct} and nvme_sc ${nvme_sc} are for error_type nvme_failure, not ${error_type}`,
    );
  }
  if (!given && error_type === 'nvme_failure') {
    throw new SpdkError('EINVAL', 'nvme_sct 0 and nvme_sc 0: one must be above 0 for error_type nvme_failure');
  }
}

/** The setting of one type as rules: one, or none where nothing can go wrong. */
function rulesOf(said: Injection, op: (typeof STRUCK_TYPES)[number]): MadeFault[] {
  const { error_type, num, queue_depth, corrupt_offset, corrupt_value } = said;
  const corrupts = error_type === 'corrupt_data';
  if (num === 0 || (corrupts && op !== 'read' && op !== 'write')) return [];
  const rule = { op, action: ACTION[error_type], count: num, queue_depth };
  const call = { method: 'bdev_error_inject_error', params: { ...said, io_type: op } };
  return [{ rule: corrupts ? { ...rule, corrupt_offset, corrupt_value } : rule, call }];
}

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
      { name: 'num', type: 'uint32', default: 1, description: 'How often; 0: not any more' },
      { name: 'queue_depth', type: 'uint64', default: 0, description: 'Only while so many I/Os are under way' },
      { name: 'corrupt_offset', type: 'uint64', default: 0, description: 'Byte of the I/O, for corrupt_data' },
      { name: 'corrupt_value', type: 'uint8', default: 0, description: 'Bits of it that are turned over, above 0' },
      { name: 'nvme_sct', type: 'uint32', default: 0, description: 'For nvme_failure; the I/O ends with EIO' },
      { name: 'nvme_sc', type: 'uint32', default: 0, description: 'For nvme_failure; the I/O ends with EIO' },
    ],
    summary: 'Sets what goes wrong with the next I/Os of a type, of an error bdev. fault_add can do more, on any bdev.',
    handler: async (said) => {
      errorDisk(said.name);
      check(said);
      const types = STRUCK_TYPES.filter(
        (op) => said.io_type === op || said.io_type === 'all' || said.io_type === 'clear',
      );
      const made = said.io_type === 'clear' ? [] : types.flatMap((op) => rulesOf(said, op));
      await deps.faults().replace(said.name, 'error', ({ op }) => types.some((type) => type === op), made);
      return true;
    },
  });
  rpc.register({
    name: 'bdev_error_resume_pending',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'An error bdev, EE_...' }],
    summary: 'Has I/Os that error_type pending holds carried out, and holds none any more.',
    handler: async ({ name }) => {
      errorDisk(name);
      await deps.faults().replace(name, 'error', ({ action }) => action === 'stuck', []);
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
