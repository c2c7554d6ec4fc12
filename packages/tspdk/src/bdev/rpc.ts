/**
 * RPC methods of the block layer itself (SPDK: lib/bdev/bdev_rpc.c). Names, parameters and answers are SPDK's.
 */

import { SpdkError } from '../env/errors.ts';
import { limits as kitLimits } from '../env/limits.ts';
import { RPC_RUNTIME, RPC_STARTUP, type RpcRegistry } from '../rpc/index.ts';
import type { Bdev } from './bdev.ts';
import { RESET_STAT_MODES, type ResetStatMode, TICKS_PER_SECOND } from './io-stat.ts';
import { IO_TYPE_NAMES, IO_ZCOPY } from './io-type.ts';
import { metadataJson } from './metadata.ts';
import { bdevModule } from './module.ts';
import { depthJson } from './observe.ts';
import { registerObserveRpc } from './observe-rpc.ts';
import { QOS_LIMITS } from './qos.ts';
import type { BdevRegistry } from './registry.ts';
import { CLAIM_NAMES, CLAIM_NONE } from './shared-state.ts';

/** One disk as `bdev_get_bdevs` tells it. */
export function describeBdev(bdev: Bdev): Record<string, unknown> {
  const { limits } = bdev;
  const supported: Record<string, boolean> = {};
  for (let type = 1; type < IO_TYPE_NAMES.length; type++) supported[IO_TYPE_NAMES[type]] = bdev.ioTypeSupported(type);
  const { claim } = bdev.shared;
  const info = bdevModule(bdev.moduleName).dumpInfo?.({ ...bdev.spec, blocks: bdev.blocks }, bdev.manager.reactor);
  return {
    name: bdev.name,
    aliases: [...bdev.aliases],
    product_name: bdev.productName,
    block_size: bdev.blockSizeBytes,
    num_blocks: bdev.blocks,
    preferred_write_alignment: limits.preferredWriteAlignmentBlocks,
    preferred_write_granularity: limits.preferredWriteGranularityBlocks,
    optimal_write_size: limits.optimalWriteSizeBlocks,
    preferred_unmap_alignment: limits.preferredUnmapAlignmentBlocks,
    preferred_unmap_granularity: limits.preferredUnmapGranularityBlocks,
    uuid: bdev.uuid,
    assigned_rate_limits: { ...bdev.rates },
    claimed: claim !== CLAIM_NONE,
    ...(claim === CLAIM_NONE ? {} : { claim_type: CLAIM_NAMES[claim] }),
    ...metadataJson(bdev.metadata),
    zoned: false,
    supported_io_types: supported,
    ...(bdev.ioTypeSupported(IO_ZCOPY) ? { memory_domains: [{ dma_device_id: 'system', dma_device_type: 1 }] } : {}),
    driver_specific: info ?? {},
  };
}

/** Registers the methods of the layer. `registry` is asked for when a method is called. */
export function registerBdevRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry; nowUs: () => number }): void {
  rpc.register({
    name: 'bdev_set_options',
    states: RPC_STARTUP,
    params: [
      {
        name: 'bdev_io_pool_size',
        type: 'uint32',
        description: `Block I/Os of users under way at once, for each reactor, up to ${kitLimits.bdev_io_pool_size_max}`,
      },
      { name: 'bdev_io_cache_size', type: 'uint32', description: 'Block I/Os made at once' },
      { name: 'bdev_auto_examine', type: 'boolean', description: 'Examine bdevs as they are made' },
      {
        name: 'iobuf_small_cache_size',
        type: 'uint32',
        description: 'Small I/O buffers a reactor keeps for itself; all of them together at most half the pool',
      },
      { name: 'iobuf_large_cache_size', type: 'uint32', description: 'The same of large ones' },
    ],
    summary: 'Sets options of the block layer, before it is initialised.',
    handler: async (params) => {
      await deps.registry().setOptions(params);
      return true;
    },
  });

  rpc.register({
    name: 'bdev_get_bdevs',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', description: 'Only this one: its name, alias or uuid' },
      { name: 'timeout', type: 'uint64', default: 0, description: 'Wait so many ms for it to appear' },
    ],
    summary: 'Lists block devices.',
    handler: async ({ name, timeout }) => {
      const registry = deps.registry();
      if (name === undefined) return registry.list().map(describeBdev);
      return [describeBdev(await registry.waitFor(name, timeout))];
    },
  });
  rpc.registerAlias('get_bdevs', 'bdev_get_bdevs');

  rpc.register({
    name: 'bdev_wait_for_examine',
    states: RPC_RUNTIME,
    params: [],
    summary: 'Answers when every bdev has been examined.',
    handler: async () => {
      await deps.registry().waitForExamine();
      return true;
    },
  });

  rpc.register({
    name: 'bdev_examine',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'Its name or alias; it need not be there yet' },
    ],
    summary: 'Has a bdev examined, now and whenever it comes; with bdev_auto_examine false.',
    handler: async ({ name }) => {
      deps.registry().allowExamine(name);
      return true;
    },
  });

  rpc.register({
    name: 'bdev_set_qos_limit',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'The bdev' },
      {
        name: 'rw_ios_per_sec',
        type: 'uint64',
        description: 'Reads and writes a second, rounded up to thousands; 0: no limit',
      },
      { name: 'rw_mbytes_per_sec', type: 'uint64', description: 'MiB read and written a second; 0: no limit' },
      { name: 'r_mbytes_per_sec', type: 'uint64', description: 'MiB read a second; 0: no limit' },
      { name: 'w_mbytes_per_sec', type: 'uint64', description: 'MiB written a second; 0: no limit' },
    ],
    summary: 'Limits the rates of a bdev over all cores; limits that are not named stay as they are.',
    handler: async ({ name, ...rates }) => {
      if (QOS_LIMITS.every((kind) => rates[kind] === undefined)) {
        throw new SpdkError('EINVAL', `no limit is named; there are ${QOS_LIMITS.join(', ')}`);
      }
      await deps.registry().setRates(name, rates);
      return true;
    },
  });

  registerStatRpc(rpc, deps);
  registerObserveRpc(rpc, deps);
}

function registerStatRpc(rpc: RpcRegistry, deps: { registry: () => BdevRegistry; nowUs: () => number }): void {
  rpc.register({
    name: 'bdev_get_iostat',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', deprecated: 'use names', description: 'One bdev' },
      {
        name: 'names',
        type: 'array',
        class: 'bdev_iostat_names',
        items: { type: 'string' },
        description: 'Bdevs; default all',
      },
      { name: 'per_channel', type: 'boolean', default: false, description: 'By channel, of one bdev' },
      {
        name: 'reset_mode',
        type: 'enum',
        class: 'bdev_reset_stat_mode',
        values: RESET_STAT_MODES,
        default: 'none',
        description: 'What to reset afterwards',
      },
    ],
    summary: 'Counts of I/Os, bytes and latencies.',
    handler: async ({ name, names, per_channel, reset_mode }) => {
      if (name !== undefined && names !== undefined) throw new SpdkError('EINVAL', 'name and names exclude each other');
      const wanted = name === undefined ? names : [name];
      if (per_channel && wanted?.length !== 1) throw new SpdkError('EINVAL', 'per_channel needs exactly one bdev');
      const stats = await deps.registry().stat(wanted, reset_mode as ResetStatMode);
      const head = { tick_rate: TICKS_PER_SECOND, ticks: Math.round(deps.nowUs()) };
      if (per_channel) {
        const [{ bdev, channels }] = stats;
        const rows = channels.map(({ thread, stat }) => ({ thread_id: thread, ...stat.toJson() }));
        return { ...head, name: bdev.name, channels: rows };
      }
      const bdevs = stats.map(({ bdev, stat }) => ({ name: bdev.name, ...stat.toJson(), ...depthJson(bdev) }));
      return { ...head, bdevs };
    },
  });
  rpc.registerAlias('get_bdevs_iostat', 'bdev_get_iostat');

  rpc.register({
    name: 'bdev_reset_iostat',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', description: 'One bdev; default all' },
      {
        name: 'mode',
        type: 'enum',
        class: 'bdev_reset_stat_mode',
        values: RESET_STAT_MODES,
        default: 'all',
        description: 'What to reset',
      },
    ],
    summary: 'Resets counts of I/Os.',
    handler: async ({ name, mode }) => {
      await deps.registry().stat(name === undefined ? undefined : [name], mode as ResetStatMode);
      return true;
    },
  });
}
