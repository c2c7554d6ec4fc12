/**
 * `tspdk start` (`npm start`): the main job, ready to try. A target with a malloc disk and a file disk over NBD, and lines to paste.
 *
 * It is `tspdk tgt` with a configuration that is made here: 2 reactors where there are 2 cores, a TCP port and a unix socket.
 * A TCP port that is taken is not fought over: another free one is used, and what is printed is what is true. An RPC socket that is
 * served by another application is an error that says so.
 */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { APP_FLAGS, type AppArgs, flagHelp, parseAppArgs } from '../event/app-args.ts';
import { App } from '../event/index.ts';
import { type JsonConfig, RPC_DEFAULT_PATH } from '../rpc/index.ts';
import { exampleCores } from './early.ts';
import { targetOptions } from './target.ts';

const NBD_PORT = 10809;
const DISK_MIB = 64;

/** Runs until Ctrl-C. Resolves with the exit code. */
export async function start(argv: readonly string[]): Promise<number> {
  const args = parseAppArgs(argv);
  if (args.help) {
    console.log(
      `usage: npm start [-- flags]\n\nAn example target; flags as those of tspdk tgt:\n\n${flagHelp(APP_FLAGS)}`,
    );
    return 0;
  }
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-'));
  try {
    const port = (await isFree(NBD_PORT)) ? NBD_PORT : 0;
    const file = join(dir, 'file0.img');
    writeFileSync(file, '');
    truncateSync(file, DISK_MIB * 1024 * 1024);
    const cores = args.cores ?? exampleCores();
    const socket = join(dir, 'nbd.sock');
    return await App.start({ ...targetOptions(args, exampleConfig(file, port, socket)), cores }, (app) =>
      print(app, args, socket),
    );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The configuration, in SPDK's own format. */
function exampleConfig(file: string, port: number, socket: string): JsonConfig {
  return {
    subsystems: [
      {
        subsystem: 'bdev',
        config: [
          {
            method: 'bdev_malloc_create',
            params: { name: 'Malloc0', num_blocks: (DISK_MIB * 1024 * 1024) / 512, block_size: 512 },
          },
          { method: 'bdev_aio_create', params: { name: 'File0', filename: file, block_size: 512, direct: false } },
        ],
      },
      {
        subsystem: 'nbd',
        config: [
          { method: 'nbd_server_start', params: { name: 'tcp', address: '127.0.0.1', port } },
          { method: 'nbd_server_start', params: { name: 'unix', address: `unix:${socket}` } },
          { method: 'nbd_export_add', params: { name: 'malloc0', bdev_name: 'Malloc0', description: 'memory' } },
          { method: 'nbd_export_add', params: { name: 'file0', bdev_name: 'File0', description: file } },
        ],
      },
    ],
  };
}

async function print(app: App, args: AppArgs, socket: string): Promise<void> {
  const servers = (await app.rpc.call('nbd_get_servers')) as { name: string; address: string }[];
  const uri = `nbd://${servers.find((server) => server.name === 'tcp')?.address}`;
  const rpc = args.rpcAddress === null ? 'off' : (args.rpcAddress ?? RPC_DEFAULT_PATH);
  console.log(
    [
      `tspdk: ${app.cores.length} reactor(s) on core(s) ${app.cores.join(', ')}, disks malloc0 and file0 (${DISK_MIB} MiB each)`,
      '',
      'Try it from another terminal:',
      `  nbdinfo --list ${uri}`,
      `  nbdcopy ${uri}/malloc0 ${uri}/file0`,
      `  qemu-img info ${uri}/malloc0`,
      `  nbdinfo 'nbd+unix:///file0?socket=${socket}'`,
      '',
      rpc === 'off' ? 'RPC is off.' : `RPC socket: ${rpc}    (npx tspdk rpc -s ${rpc} bdev_get_bdevs)`,
      'Stop: Ctrl-C',
    ].join('\n'),
  );
}

/** Whether a TCP port of the loopback address can be had. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
