/**
 * `tspdk serve DISK`: one disk, served over NBD, in one line. Everything else (several disks, RPC, configuration files) is `tspdk tgt`.
 */
import { resolve } from 'node:path';
import { SpdkError } from '../env/errors.ts';
import { APP_FLAGS, type AppArgs, flagHelp, parseAppArgs } from '../event/app-args.ts';
import { App, type AppOptions } from '../event/index.ts';
import { reloadable } from '../module/bdev/disk/reload.ts';
import { formatNbdUri, type NbdAddress, nbdTarget, parseNbdAddress } from '../nbd/index.ts';
import type { SockAddress } from '../sock/index.ts';
import { createDisk, type DiskOptions, diskWords } from './create-disk.ts';
import { parseDiskArgument } from './disk-argument.ts';
import { SERVE_FLAGS } from './serve-flags.ts';
import { targetOptions } from './target.ts';
import { DiskWatch } from './watch-disk.ts';

const USAGE = `usage: tspdk serve DISK [--nbd ADDR]... [flags]

DISK is a size (64M, 1G: memory), a file or block device, a module (.ts, .js, .mjs) that defines a disk, an NBD export
(nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH), an RBD image (rbd:POOL/IMAGE), or null:SIZE, which keeps nothing.
Behind a ? come its options and faults: './disk.ts?bucket=a&fault=op=read,action=error'.

  tspdk serve 1G
  tspdk serve disk.img --nbd unix:/tmp/disk.sock --read-only
  tspdk serve ./my-disk.ts --nbd :10809 --cpumask 0x3 --watch
  tspdk serve nbd://10.0.0.7/disk --nbd unix:/tmp/disk.sock
  tspdk serve 64M --fault op=write,action=error,errno=ENOSPC,skip=100
`;

interface ServeOptions extends DiskOptions {
  readonly addresses: readonly NbdAddress[];
  readonly exportName: string;
  readonly watch: boolean;
}

/** @throws {SpdkError} EINVAL, ENOENT: what is wrong with which argument. */
function serveOptions(args: AppArgs): ServeOptions {
  const [disk, ...more] = args.rest;
  if (disk === undefined) throw new SpdkError('EINVAL', `there is no DISK to serve\n\n${USAGE}`);
  if (more.length > 0) throw new SpdkError('EINVAL', `one DISK at a time; "${more[0]}" is one too many`);
  const addresses = (args.extra.get('nbd') ?? ['127.0.0.1']).map(parseNbdAddress);
  const name = args.extra.get('name')?.[0];
  const blockSize = args.extra.get('block-size')?.[0];
  const argument = parseDiskArgument(disk);
  const watch = args.extra.has('watch');
  if (watch && argument.kind !== 'module') {
    throw new SpdkError('EINVAL', `--watch: "${disk}" is no module (.ts, .js, .mjs) that defines a disk`);
  }
  return {
    ...diskWords(args.extra),
    watch,
    disk: argument,
    addresses,
    exportName: name ?? (addresses.find((each) => each.exportName !== '')?.exportName || 'disk'),
    readOnly: args.extra.has('read-only'),
    blockBytes: blockSize === undefined ? undefined : Number(blockSize),
    direct: args.extra.has('direct'),
  };
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
  let watching: DiskWatch | null = null;
  const target = targetOptions(appArgs);
  const appOptions: AppOptions = {
    ...target,
    services: [...(target.services ?? []), { name: 'watch', stop: () => watching?.close() }],
    name: 'tspdk_serve',
    throwOnStartFailure: true,
  };
  return App.start(appOptions, async (app) => {
    const { bdevName, what } = await createDisk(app, options);
    if (options.watch && options.disk.kind === 'module') {
      reloadable(app.reactor, bdevName);
      watching = new DiskWatch(app, bdevName, options.disk.path);
    }
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
