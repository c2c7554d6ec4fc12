// Writes a cpio archive of the "newc" form, which the Linux kernel unpacks as its first file system.
//
// Archives may simply follow each other, and later files win: so the large, unchanging part is made once and each run adds its script.
// The format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.

/** One file or folder, by its path below the root, without a leading slash. `mode` holds the type bits too. */
export interface CpioEntry {
  readonly path: string;
  readonly mode: number;
  readonly data: Uint8Array;
}

export const folderMode = 0o040755;
export const fileMode = 0o100644;
export const programMode = 0o100755;

/** The archive of `entries`, with the folders they need, ended by its trailer. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  const folders = new Set<string>();
  let inode = 1;
  const add = (entry: CpioEntry) => parts.push(...member(entry, inode++));
  const addFolders = (path: string) => {
    for (let i = path.indexOf('/'); i !== -1; i = path.indexOf('/', i + 1)) {
      const folder = path.slice(0, i);
      if (folders.has(folder)) continue;
      folders.add(folder);
      add({ path: folder, mode: folderMode, data: new Uint8Array(0) });
    }
  };
  for (const entry of entries) {
    addFolders(entry.path);
    if (entry.mode === folderMode) {
      if (folders.has(entry.path)) continue;
      folders.add(entry.path);
    }
    add(entry);
  }
  parts.push(...member({ path: 'TRAILER!!!', mode: 0, data: new Uint8Array(0) }, 0));
  return Buffer.concat(parts);
}

function member({ path, mode, data }: CpioEntry, inode: number): Buffer[] {
  const name = Buffer.from(`${path}\0`);
  const links = 1;
  // inode mode uid gid links mtime size device(2) special(2) name-size check
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((value) => value.toString(16).padStart(8, '0')).join('')}`);
  return [header, name, padding(header.length + name.length), Buffer.from(data), padding(data.length)];
}

function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4);
}
