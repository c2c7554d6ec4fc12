/**
 * NBD: block devices over the network to NBD clients. What others may use of this folder; the subsystem is `nbdSubsystem`.
 */
import type { Subsystem } from '../event/index.ts';
import './group-control.ts';
import './initiator/nbd-bdev.ts';
import { registerInitiatorRpc } from './initiator/rpc.ts';
import { registerNbdRpc } from './rpc.ts';
import { NbdTarget, nbdTargetKey } from './target.ts';

export type { ExportConfig } from './export.ts';
export type { ConnectionInfo } from './poll-group.ts';
export { type ExportOptions, NbdTarget, nbdTarget, type ServerInfo } from './target.ts';
export { formatNbdUri, NBD_DEFAULT_PORT, type NbdAddress, parseNbdAddress } from './uri.ts';

/** The NBD target as a part of an application. */
export const nbdSubsystem: Subsystem = {
  name: 'nbd',
  dependsOn: ['bdev'],
  modules: [import.meta.url],
  registerRpc(app) {
    registerNbdRpc(app);
    registerInitiatorRpc(app);
  },
  init(app) {
    app.reactor.local(nbdTargetKey).target = new NbdTarget(app);
  },
  async fini(app) {
    const place = app.reactor.local(nbdTargetKey);
    const { target } = place;
    place.target = null;
    await target?.close();
  },
  writeConfig(app) {
    const { target } = app.reactor.local(nbdTargetKey);
    if (target === null) return [];
    const exports = target.exports.map((exp) => ({
      method: 'nbd_export_add',
      params: {
        name: exp.name,
        bdev_name: exp.bdevName,
        read_only: exp.readOnly,
        description: exp.description,
        rotational: exp.rotational,
      },
    }));
    const servers = target.serverAddresses.map(({ name, asked }) => ({
      method: 'nbd_server_start',
      params:
        'path' in asked ? { name, address: `unix:${asked.path}` } : { name, address: asked.host, port: asked.port },
    }));
    return [...exports, ...servers];
  },
};
