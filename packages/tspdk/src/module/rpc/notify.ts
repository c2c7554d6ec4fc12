/** RPC methods of notifications (SPDK: lib/notify/notify_rpc.c). */
import type { Notify } from '../../notify/index.ts';
import { RPC_RUNTIME, type RpcRegistry } from '../../rpc/index.ts';

/** notify_get_types, notify_get_notifications. */
export function registerNotifyRpc(registry: RpcRegistry, deps: { notify: Notify }): void {
  const { notify } = deps;
  registry.register({
    name: 'notify_get_types',
    states: RPC_RUNTIME,
    params: [],
    summary: 'Lists the types of notifications.',
    handler: () => notify.types(),
  });
  registry.registerAlias('get_notification_types', 'notify_get_types');

  registry.register({
    name: 'notify_get_notifications',
    states: RPC_RUNTIME,
    params: [
      { name: 'id', type: 'uint64', default: 0, description: 'First id wanted: the last one seen plus one' },
      { name: 'max', type: 'uint64big', default: 0xffff_ffff_ffff_ffffn, description: 'At most so many' },
    ],
    summary: 'Lists notifications from an id on; those that were overwritten are left out.',
    handler: ({ id, max }) =>
      notify.events(id, Number(max)).map((event) => ({ type: event.type, ctx: event.context, id: event.id })),
  });
  registry.registerAlias('get_notifications', 'notify_get_notifications');
}
