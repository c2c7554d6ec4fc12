/**
 * The iobuf subsystem: sizes of the I/O buffer pools, set before the others are initialised, and their counters (SPDK: module/event/subsystems/iobuf).
 */
import { defineControl, type Subsystem } from '../../event/index.ts';
import { RPC_RUNTIME, RPC_STARTUP } from '../../rpc/index.ts';

const iobufStats = defineControl('iobuf.stats', (_: null, reactor) => reactor.iobuf.stats());

/** Registers iobuf_set_options and iobuf_get_stats. */
export const iobufSubsystem: Subsystem = {
  name: 'iobuf',
  modules: [import.meta.url],
  registerRpc(app) {
    app.rpc.register({
      name: 'iobuf_set_options',
      states: RPC_STARTUP,
      params: [
        { name: 'small_pool_count', type: 'uint64', description: 'Small buffers' },
        { name: 'large_pool_count', type: 'uint64', description: 'Large buffers' },
        { name: 'small_bufsize', type: 'uint32', description: 'Bytes of a small buffer' },
        { name: 'large_bufsize', type: 'uint32', description: 'Bytes of a large buffer' },
        {
          name: 'enable_numa',
          type: 'boolean',
          description: 'Accepted; memory placement is left to the operating system',
        },
      ],
      summary: 'Sets counts and sizes of the I/O buffer pools.',
      handler: async (params) => {
        await app.setIoBufOptions({
          ...(params.small_pool_count === undefined ? {} : { smallCount: Number(params.small_pool_count) }),
          ...(params.large_pool_count === undefined ? {} : { largeCount: Number(params.large_pool_count) }),
          ...(params.small_bufsize === undefined ? {} : { smallBytes: params.small_bufsize }),
          ...(params.large_bufsize === undefined ? {} : { largeBytes: params.large_bufsize }),
        });
        return true;
      },
    });
    app.rpc.register({
      name: 'iobuf_get_stats',
      states: RPC_RUNTIME,
      params: [],
      summary: 'Counts how often buffers came from a cache, from the pool, or had to be waited for.',
      handler: async () => {
        const sum = { small: { cache: 0, main: 0, retry: 0 }, large: { cache: 0, main: 0, retry: 0 } };
        for (const { small, large } of await app.callAll(iobufStats, null)) {
          for (const key of ['cache', 'main', 'retry'] as const) {
            sum.small[key] += small[key];
            sum.large[key] += large[key];
          }
        }
        return [{ module: 'reactor', small_pool: sum.small, large_pool: sum.large }];
      },
    });
  },
  writeConfig(app) {
    const { small, large } = app.iobufMemory;
    return [
      {
        method: 'iobuf_set_options',
        params: {
          small_pool_count: small.count,
          large_pool_count: large.count,
          small_bufsize: small.bytes,
          large_bufsize: large.bytes,
        },
      },
    ];
  },
};
