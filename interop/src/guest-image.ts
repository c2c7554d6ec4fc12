// The guest's kernel and its first file system: a stock Debian kernel, busybox, the modules of a block client and the programs it is tried with.
// Made once, in .cache/guest, from packages of this very Debian: so the programs' shared objects fit.

import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runOk } from './client.ts';
import { type CpioEntry, cpioArchive, fileMode, folderMode, programMode } from './cpio.ts';
import { findProgram } from './requires.ts';

export interface GuestImage {
  readonly kernel: string;
  readonly initrd: string;
}

/** Changes with the recipe, so that an image made by an older one is not used. */
const recipe = 'v1';
const cache = fileURLToPath(new URL('../../.cache/guest', import.meta.url));
const programs = ['nbd-client', 'fio', 'mkfs.ext4', 'e2fsck', 'fstrim', 'blkdiscard', 'blockdev'];
const modules = ['virtio_pci', 'virtio_net', 'nbd', 'ext4', 'crc32c_generic'];
/** Loaded by the C library when a thread is cancelled, so no program names it. */
const alsoNeeded = ['libgcc_s.so.1'];

/** Whether the image is made already. */
export function hasGuestImage(): boolean {
  return existsSync(join(cache, recipe));
}

/** The image, made if it is not there yet. Rejects with what apt-get said when the kernel cannot be had. */
export async function guestImage(): Promise<GuestImage> {
  const dir = join(cache, recipe);
  const image = { kernel: join(dir, 'vmlinuz'), initrd: join(dir, 'initrd') };
  if (existsSync(image.kernel) && existsSync(image.initrd)) return image;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'making-'));
  try {
    const { kernel, release, tree } = await fetchKernel(work);
    const initrd = cpioArchive([...skeleton(), ...(await moduleEntries(tree, release)), ...(await programEntries())]);
    mkdirSync(join(work, 'done'));
    writeFileSync(join(work, 'done', 'vmlinuz'), readFileSync(kernel));
    writeFileSync(join(work, 'done', 'initrd'), initrd);
    rmSync(dir, { recursive: true, force: true });
    renameSync(join(work, 'done'), dir);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return image;
}

/** Downloads and unpacks the kernel package that Debian's "cloud" flavour stands for now. */
async function fetchKernel(work: string): Promise<{ kernel: string; release: string; tree: string }> {
  const find = async () => {
    const listing = await runOk('apt-cache', ['depends', 'linux-image-cloud-amd64']);
    return /Depends: (linux-image-\S+)/.exec(listing)?.[1];
  };
  let name = await find().catch(() => undefined);
  if (name === undefined) {
    // A fresh machine has no package lists yet.
    await runOk('apt-get', ['update', '-qq'], { timeoutMs: 180_000 });
    name = await find();
  }
  assert(name !== undefined, 'apt knows no linux-image-cloud-amd64');
  await runOk('apt-get', ['download', '-qq', '-o', 'APT::Sandbox::User=root', name], { cwd: work, timeoutMs: 300_000 });
  const archive = readdirSync(work).find((file) => file.endsWith('.deb'));
  assert(archive !== undefined, `apt-get download ${name} left no package`);
  const tree = join(work, 'kernel');
  await runOk('dpkg', ['-x', join(work, archive), tree]);
  const release = readdirSync(join(tree, 'lib', 'modules'))[0];
  assert(release !== undefined, `${name} has no modules`);
  await runOk(findProgram('depmod')!, ['-b', tree, release]);
  return { kernel: join(tree, 'boot', `vmlinuz-${release}`), release, tree };
}

function skeleton(): CpioEntry[] {
  const empty = new Uint8Array(0);
  const folders = ['bin', 'sbin', 'dev', 'proc', 'sys', 'run', 'tmp', 'mnt', 'etc', 'var', 'root'];
  const text = (path: string, mode: number, content: string) => ({ path, mode, data: Buffer.from(content) });
  return [
    ...folders.map((path) => ({ path, mode: folderMode, data: empty })),
    text('etc/passwd', fileMode, 'root:x:0:0:root:/root:/bin/sh\n'),
    text('etc/hosts', fileMode, '127.0.0.1 localhost\n10.0.2.2 host\n'),
    text('init', programMode, init),
  ];
}

/** The first process: sets up what any program expects, then runs the script that the run's own archive adds as /run-this. */
const init = `#!/bin/busybox sh
/bin/busybox mkdir -p /usr/bin /usr/sbin
/bin/busybox --install -s /bin
export PATH=/sbin:/bin:/usr/sbin:/usr/bin HOME=/root
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /run
mount -t tmpfs none /tmp
modprobe -a virtio_pci virtio_net
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
sh /run-this/script 2>&1
echo "$(cat /run-this/token) $?"
poweroff -f
`;

/** The modules and all that they depend on, with the index that modprobe reads. */
async function moduleEntries(tree: string, release: string): Promise<CpioEntry[]> {
  const base = join('lib', 'modules', release);
  const dependencies = new Map<string, readonly string[]>();
  for (const line of readFileSync(join(tree, base, 'modules.dep'), 'utf8').split('\n')) {
    const [path, needed = ''] = line.split(':');
    if (path !== undefined && path !== '') dependencies.set(path, needed.split(' ').filter(Boolean));
  }
  const builtin = readFileSync(join(tree, base, 'modules.builtin'), 'utf8');
  const wanted = new Set<string>();
  for (const name of modules) {
    const path = [...dependencies.keys()].find(
      (each) =>
        basename(each)
          .replace(/\.ko.*$/, '')
          .replaceAll('-', '_') === name,
    );
    if (path === undefined) assert(new RegExp(`/${name}\\.ko$`, 'm').test(builtin), `the kernel has no module ${name}`);
    else for (const each of [path, ...dependencies.get(path)!]) wanted.add(each);
  }
  const lists = ['modules.builtin', 'modules.order'];
  const copies = [...wanted, ...lists].map((path) => ({
    path: join(base, path),
    mode: fileMode,
    data: readFileSync(join(tree, base, path)),
  }));
  const index = [...wanted].map((path) => `${path}: ${dependencies.get(path)!.join(' ')}`.trimEnd());
  return [...copies, { path: join(base, 'modules.dep'), mode: fileMode, data: Buffer.from(`${index.join('\n')}\n`) }];
}

/** The programs with the shared objects they load, each at the place where the loader looks for it. */
async function programEntries(): Promise<CpioEntry[]> {
  const entries = new Map<string, CpioEntry>();
  const add = (path: string, from: string) =>
    entries.set(path, { path, mode: programMode, data: readFileSync(realpathSync(from)) });
  add('bin/busybox', findProgram('busybox')!);
  for (const name of programs) {
    const program = findProgram(name);
    assert(program !== undefined, `no ${name} on this machine`);
    add(`sbin/${name}`, program);
    for (const [path] of (await runOk('ldd', [program])).matchAll(/\/\S+/g)) {
      add(path.slice(1), path);
      for (const extra of alsoNeeded) {
        const beside = join(path, '..', extra);
        if (existsSync(beside)) add(beside.slice(1), beside);
      }
    }
  }
  return [...entries.values()];
}
