/**
 * The NBD target's RPC methods. SPDK has none for a network server, so names and shapes are the kit's own, in SPDK's manner.
 */
import type { App } from '../event/index.ts';
import { RPC_RUNTIME } from '../rpc/index.ts';
import type { SockAddress } from '../sock/index.ts';
import { nbdTarget } from './target.ts';
import { formatNbdUri, NBD_DEFAULT_PORT } from './uri.ts';

/** "unix:PATH" or a path, else a host. */
function sockAddress(address: string, port: number): SockAddress {
  if (address.startsWith('unix:')) return { path: address.slice('unix:'.length) };
  if (address.includes('/')) return { path: address };
  return { host: address, port };
}

/** nbd_server_{start,stop}, nbd_get_servers, nbd_export_{add,remove,list}, nbd_get_connections. */
export function registerNbdRpc(app: App): void {
  const { rpc } = app;
  rpc.register({
    name: 'nbd_server_start',
    states: RPC_RUNTIME,
    params: [
      {
        name: 'address',
        type: 'string',
        default: '127.0.0.1',
        description: 'Host name or address; unix:PATH or a path for a unix socket',
      },
      { name: 'port', type: 'uint16', default: NBD_DEFAULT_PORT, description: 'TCP port, 0 for any free one' },
      { name: 'name', type: 'string', description: 'What to call it; default its address' },
    ],
    summary: 'Serves all exports at an address. Returns name, address, port and the URI of the default export.',
    handler: async ({ address, port, name }) => {
      const asked = sockAddress(address, port);
      const info = await nbdTarget(app).startServer(asked, name);
      const bound: SockAddress = 'path' in asked ? asked : { host: asked.host, port: info.port };
      return { name: info.name, address: info.address, port: info.port, uri: formatNbdUri(bound, '') };
    },
  });
  rpc.register({
    name: 'nbd_server_stop',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', description: 'Which; default all' }],
    summary: 'Stops accepting; connections of the server finish what they have begun and are closed.',
    handler: async ({ name }) => {
      await nbdTarget(app).stopServer(name);
      return true;
    },
  });
  rpc.register({
    name: 'nbd_get_servers',
    states: RPC_RUNTIME,
    params: [],
    summary: 'Lists servers: name, address, port, connections.',
    handler: () => nbdTarget(app).servers,
  });
  rpc.register({
    name: 'nbd_export_add',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'What clients ask for' },
      { name: 'bdev_name', type: 'string', required: true, description: 'The block device' },
      { name: 'read_only', type: 'boolean', description: 'Refuse what writes; default: as the bdev is' },
      { name: 'description', type: 'string', description: 'Shown to clients that list exports' },
      { name: 'rotational', type: 'boolean', default: false, description: 'Tell clients that the medium rotates' },
    ],
    summary: 'Exports a block device under a name, at every server. The first export is the default one.',
    handler: async ({ name, bdev_name, read_only, description, rotational }) => {
      await nbdTarget(app).addExport({ name, bdevName: bdev_name, readOnly: read_only, description, rotational });
      return true;
    },
  });
  rpc.register({
    name: 'nbd_export_remove',
    states: RPC_RUNTIME,
    params: [{ name: 'name', type: 'string', required: true, description: 'The export' }],
    summary: 'Takes an export away: its connections get ESHUTDOWN for further requests and are closed.',
    handler: async ({ name }) => {
      await nbdTarget(app).removeExport(name);
      return true;
    },
  });
  rpc.register({
    name: 'nbd_export_list',
    states: RPC_RUNTIME,
    params: [],
    summary: 'Lists exports in order of addition: name, bdev_name, read_only, description, rotational.',
    handler: () =>
      nbdTarget(app).exports.map((exp) => ({
        name: exp.name,
        bdev_name: exp.bdevName,
        read_only: exp.readOnly,
        description: exp.description,
        rotational: exp.rotational,
      })),
  });
  rpc.register({
    name: 'nbd_get_connections',
    states: RPC_RUNTIME,
    params: [],
    summary: 'Lists connections: id, server, core, peer, state, export, requests in progress, counters.',
    handler: () => nbdTarget(app).connections(),
  });
}
