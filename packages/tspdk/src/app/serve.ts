/**
 * `tspdk serve DISK`: one disk, served over NBD, in one line. Everything else (several disks, RPC, configuration files) is `tspdk tgt`.
 */
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bdevRegistry } from '../bdev/index.ts';
import { SpdkError } from '../env/errors.ts';
import { APP_FLAGS, type AppArgs, flagHelp, parseAppArgs } from '../event/app-args.ts';
import { App } from '../event/index.ts';
import { formatNbdUri, type NbdAddress, nbdTarget, parseNbdAddress } from '../nbd/index.ts';
import type { SockAddress } from '../sock/index.ts';
import { type DiskArgument, parseDiskArgument } from './disk-argument.ts';
import { SERVE_FLAGS } from './serve-flags.ts';
import { targetOptions } from './target.ts';

const USAGE = `usage: tspdk serve DISK [--nbd ADDR]... [flags]

DISK is a size (64M, 1G: memory), a file or block device, or a module (.ts, .js, .mjs) that defines a disk.

  tspdk serve 1G
  tspdk serve disk.img --nbd unix:/tmp/disk.sock --read-only
  tspdk serve ./my-disk.ts --nbd :10809 --cpumask 0x3
`;

interface ServeOptions {
  readonly disk: DiskArgument;
  readonly addresses: readonly NbdAddress[];
  readonly exportName: string;
  readonly readOnly: boolean;
  readonly blockBytes: number | undefined;
  readonly direct: boolean;
}

/** @throws {SpdkError} EINVAL, ENOENT: what is wrong with which argument. */
function serveOptions(args: AppArgs): ServeOptions {
  const [disk, ...more] = args.rest;
  if (disk === undefined) throw new SpdkError('EINVAL', `there is no DISK to serve\n\n${USAGE}`);
  if (more.length > 0) throw new SpdkError('EINVAL', `one DISK at a time; "${more[0]}" is one too many`);
  const addresses = (args.extra.get('nbd') ?? ['127.0.0.1']).map(parseNbdAddress);
  const name = args.extra.get('name')?.[0];
  const blockSize = args.extra.get('block-size')?.[0];
  return {
    disk: parseDiskArgument(disk),
    addresses,
    exportName: name ?? (addresses.find((each) => each.exportName !== '')?.exportName || 'disk'),
    readOnly: args.extra.has('read-only'),
    blockBytes: blockSize === undefined ? undefined : Number(blockSize),
    direct: args.extra.has('direct'),
  };
}

/** Makes the disk; returns its bdev's name and what to call it. */
async function createDisk(app: App, options: ServeOptions): Promise<{ bdevName: string; what: string }> {
  const { disk, readOnly, blockBytes } = options;
  const registry = bdevRegistry(app.reactor);
  if (disk.kind === 'memory') {
    const block_size = blockBytes ?? 512;
    const num_blocks = disk.sizeBytes / block_size;
    if (!Number.isInteger(num_blocks)) {
      throw new SpdkError('EINVAL', `${disk.sizeBytes} bytes are not a multiple of the block size ${block_size}`);
    }
    const bdev = await registry.create('malloc', { block_size, num_blocks });
    return { bdevName: bdev.name, what: `${disk.sizeBytes} bytes of memory` };
  }
  const name = basename(disk.path);
  if (disk.kind === 'file') {
    const filename = resolve(disk.path);
    const params = { name, filename, readonly: readOnly, direct: options.direct, block_size: blockBytes };
    const bdev = await registry.create('uring', params);
    return { bdevName: bdev.name, what: filename };
  }
  const bdev = await registry.create('disk', { name, module: pathToFileURL(resolve(disk.path)).href });
  return { bdevName: bdev.name, what: `what ${disk.path} defines` };
}

/** Runs until a signal stops it. Resolves with the exit code. */
export async function serve(argv: readonly string[]): Promise<number> {
  const args = parseAppArgs(argv, SERVE_FLAGS);
  if (args.help) {
    console.log(`${USAGE}\n${flagHelp(SERVE_FLAGS)}\n\nand those of every program:\n\n${flagHelp(APP_FLAGS)}`);
    return 0;
  }
  const options = serveOptions(args);
  // An RPC server only when asked for: several of these may run at once.
  const appArgs: AppArgs = { ...args, rest: [], rpcAddress: args.rpcAddress ?? null };
  return App.start({ ...targetOptions(appArgs), name: 'tspdk_serve', throwOnStartFailure: true }, async (app) => {
    const { bdevName, what } = await createDisk(app, options);
    const target = nbdTarget(app);
    await target.addExport({ name: options.exportName, bdevName, readOnly: options.readOnly || undefined });
    const uris: string[] = [];
    for (const { address } of options.addresses) {
      const { port } = await target.startServer(address);
      const bound: SockAddress = 'path' in address ? { path: resolve(address.path) } : { host: address.host, port };
      uris.push(formatNbdUri(bound, options.exportName));
    }
    const [uri] = uris;
    const readOnly = target.exports[0]?.readOnly === true;
    console.log(`serving ${what}${readOnly ? ', read-only' : ''}, on core ${app.cores.join(',')}`);
    for (const each of uris) console.log(`  ${each}`);
    console.log(`try:   nbdinfo '${uri}'`);
    console.log(`copy:  nbdcopy '${uri}' copy.img`);
    console.log('stop:  Ctrl-C');
  });
}
