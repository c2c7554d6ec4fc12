// What a check needs of the machine. A check that lacks something is skipped, and says what to install, never passed over in silence.

import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';

/** The Debian package of each program. Every package here is also in scripts/debian.mjs, which installs them. */
const packageOf = {
  fio: 'fio',
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  nbdinfo: 'libnbd-bin',
  nbdcopy: 'libnbd-bin',
  nbdfuse: 'libnbd-bin',
  nbdsh: 'python3-libnbd',
  nbdkit: 'nbdkit',
  'nbd-client': 'nbd-client',
  'mkfs.ext4': 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  fusermount3: 'fuse3',
  'qemu-system-x86_64': 'qemu-system-x86',
  busybox: 'busybox-static',
  depmod: 'kmod',
  'ceph-mon': 'ceph-mon',
  'ceph-osd': 'ceph-osd',
  ceph: 'ceph-common',
  rbd: 'ceph-common',
} as const;

export type Program = keyof typeof packageOf;

/** The path of a program, also where only root's PATH has it; undefined when there is none. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  return folders.map((dir) => join(dir, name)).find((path) => isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** True when all `programs` are there; else skips `t`, naming the packages. Use: `if (!requires(t, 'fio')) return;` */
export function requires(t: TestContext, ...programs: readonly Program[]): boolean {
  const missing = programs.filter((name) => findProgram(name) === undefined);
  if (missing.length === 0) return true;
  const packages = [...new Set(missing.map((name) => packageOf[name]))];
  t.skip(`no ${missing.join(', ')}: apt-get install ${packages.join(' ')}`);
  return false;
}

/** True when this process may mount things; else skips `t`. */
export function requiresRoot(t: TestContext): boolean {
  if (process.getuid?.() === 0) return true;
  t.skip('needs root');
  return false;
}

/** True when `path` (a device) is there; else skips `t`. */
export function requiresPath(t: TestContext, path: string): boolean {
  if (existsSync(path)) return true;
  t.skip(`no ${path} on this machine`);
  return false;
}
