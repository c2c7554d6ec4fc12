// A Ceph cluster of one node for the checks of a file: a monitor, and an OSD that keeps its objects in memory; on loopback, without authentication, in a folder
// that is gone at the end.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Running, runOk, type Scope, start } from './client.ts';
import { scratch } from './scratch.ts';

export interface Ceph {
  /** Its configuration, for clients. */
  readonly conf: string;
  /** For clients that look for the configuration themselves. */
  readonly env: { readonly CEPH_CONF: string };
  /** Runs the `rbd` command; pool "rbd" is its default. */
  rbd(...args: readonly string[]): Promise<string>;
  /** Has the cluster refuse whoever has image NAME open, as it does with a client that it takes for dead. */
  expel(image: string): Promise<void>;
  /** Stops the OSD where it stands (SIGSTOP); none of its threads runs any more when this resolves. And lets it go on. */
  freeze(): Promise<void>;
  thaw(): void;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

function allStopped(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every((task) => {
    const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, 'latin1');
    return stat[stat.lastIndexOf(')') + 2] === 'T';
  });
}

function configuration(dir: string, fsid: string, port: number): string {
  return `[global]
fsid = ${fsid}
mon_host = [v2:127.0.0.1:${port}]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
public_network = 127.0.0.1/32
run_dir = ${dir}
admin_socket =
log_file = ${dir}/$name.log
log_to_stderr = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_data_avail_warn = 0
mon_data_avail_crit = 0
# What is frozen for seconds is not given up.
osd_heartbeat_grace = 3600
mon_osd_report_timeout = 3600
mon_osd_min_down_reporters = 100
[mon]
mon_data = ${dir}/mon
[osd]
osd_data = ${dir}/osd
keyring = ${dir}/keyring
osd_objectstore = memstore
memstore_device_bytes = 1073741824
`;
}

/** Starts a cluster with the pool "rbd", which ends with `scope`. About 5 s. */
export async function startCeph(scope: Scope): Promise<Ceph> {
  const dir = scratch(scope);
  const conf = join(dir, 'ceph.conf');
  const fsid = randomUUID();
  const port = await freePort();
  mkdirSync(join(dir, 'mon'));
  mkdirSync(join(dir, 'osd'));
  writeFileSync(conf, configuration(dir, fsid, port));
  const monmap = join(dir, 'monmap');
  await runOk('monmaptool', ['--create', '--fsid', fsid, '--addv', 'a', `[v2:127.0.0.1:${port}]`, monmap]);
  await runOk('ceph-mon', ['-c', conf, '--mkfs', '-i', 'a', '--monmap', monmap]);
  start(scope, 'ceph-mon', ['-c', conf, '-f', '-i', 'a']);
  const osdId = randomUUID();
  await runOk('ceph', ['-c', conf], { input: `osd new ${osdId}\n` });
  await runOk('ceph-osd', ['-c', conf, '--mkfs', '-i', '0', '--osd-uuid', osdId]);
  const osd: Running = start(scope, 'ceph-osd', ['-c', conf, '-f', '-i', '0']);
  await runOk('ceph', ['-c', conf], {
    input: 'osd pool create rbd 8\nosd pool application enable rbd rbd\n',
  });
  return {
    conf,
    env: { CEPH_CONF: conf },
    rbd: (...args) => runOk('rbd', ['-c', conf, ...args]),
    expel: async (image) => {
      const status = await runOk('rbd', ['-c', conf, 'status', '--format', 'json', image]);
      const { watchers } = JSON.parse(status) as { watchers: readonly { address: string }[] };
      const input = watchers.map(({ address }) => `osd blocklist add ${address}\n`).join('');
      await runOk('ceph', ['-c', conf], { input });
    },
    freeze: async () => {
      osd.child.kill('SIGSTOP');
      // The signal reaches one thread, which stops the others.
      while (!allStopped(osd.pid)) await new Promise((resolve) => setImmediate(resolve));
    },
    thaw: () => void osd.child.kill('SIGCONT'),
  };
}
