// The Debian packages that the checks with real clients need, and their installation where that is possible: as root, with apt-get.
//
// The one list: interop/src/requires.ts names a package for each program it looks for, and every such package stands here.

import { spawnSync } from 'node:child_process';

export const packages = [
  // Real NBD clients, and servers that prove the checks themselves.
  'fio',
  'qemu-utils',
  'libnbd-bin',
  'python3-libnbd',
  'nbdkit',
  'nbdkit-plugin-python',
  'nbd-client',
  'e2fsprogs',
  // What unmounts a FUSE file system.
  'fuse3',
  // The emulated guest, whose kernel is a real initiator.
  'qemu-system-x86',
  'busybox-static',
  'kmod',
  // What reads and writes partition tables.
  'fdisk',
  'gdisk',
  // A Ceph cluster of one node, and its clients; librbd1 comes with them.
  'ceph-mon',
  'ceph-osd',
  'ceph-common',
];

/** Those of `packages` that are not installed; all of them where there is no dpkg. */
export function missingPackages() {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders.
  const args = ['-W', '-f=${Package} ${db:Status-Status}\n', ...packages];
  const result = spawnSync('dpkg-query', args, { encoding: 'utf8' });
  const installed = new Set();
  for (const line of (result.stdout ?? '').split('\n')) {
    const [name, status] = line.split(' ');
    if (status === 'installed') installed.add(name);
  }
  return packages.filter((name) => !installed.has(name));
}

/** Why `installPackages` would not work here; undefined when it would. */
export function cannotInstall() {
  if (process.platform !== 'linux' || spawnSync('apt-get', ['--version']).error) return 'this is not a Debian system';
  if (process.getuid?.() !== 0) return 'not root';
  return undefined;
}

/** Installs `names` quietly. Returns undefined, or the output of what failed. */
export function installPackages(names) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const quiet = ['-qq', '-o', 'Dpkg::Use-Pty=0', '-o', 'DPkg::Lock::Timeout=120'];
  const steps = [
    ['update', ...quiet],
    ['install', '-y', '--no-install-recommends', ...quiet, ...names],
  ];
  for (const args of steps) {
    const result = spawnSync('apt-get', args, {
      env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 1 << 28,
    });
    if (result.status !== 0) return `apt-get ${args[0]} failed:\n${result.stdout}${result.stderr}${result.error ?? ''}`;
  }
  return undefined;
}
