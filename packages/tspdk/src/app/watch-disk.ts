/**
 * `tspdk serve --watch`: loads a disk's file again whenever it changes. Clients notice nothing but the new content: see module/bdev/disk/reload.ts. A version that does not
 * load, or does not fit, is told on stderr, and the old one goes on.
 */
import { existsSync, type FSWatcher, realpathSync, watch } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { explain } from '../env/errors.ts';
import type { App } from '../event/index.ts';
import { reloadDisk } from '../module/bdev/disk/reload.ts';

/** Editors write a file in several steps. */
const SETTLE_MS = 50;

export class DiskWatch {
  readonly #app: App;
  readonly #bdevName: string;
  readonly #path: string;
  readonly #watchers = new Map<string, FSWatcher>();
  #timer: NodeJS.Timeout | null = null;
  #reloads = 0;
  #closed = false;

  /** Watches the file at `path`, of which the disk `bdevName` was made. */
  constructor(app: App, bdevName: string, path: string) {
    this.#app = app;
    this.#bdevName = bdevName;
    this.#path = path;
    this.#follow();
  }

  /** Watches also what a link names: it is that which is saved, and tomorrow it may name another file. */
  #follow(): void {
    const full = resolve(this.#path);
    const wanted = new Set([full, existsSync(full) ? realpathSync(full) : full]);
    for (const [each, watcher] of this.#watchers) {
      if (wanted.has(each)) continue;
      watcher.close();
      this.#watchers.delete(each);
    }
    for (const each of wanted) if (!this.#watchers.has(each)) this.#watchers.set(each, this.#watch(each));
  }

  /** The folder: a file that is replaced by another of its name would not be watched any more. */
  #watch(full: string): FSWatcher {
    const watcher = watch(dirname(full), (_, name) => {
      if (name === null || name === basename(full)) this.#soon();
    });
    return watcher.on('error', (error) =>
      console.error(`tspdk serve: ${this.#path} is not watched any more: ${error.message}`),
    );
  }

  #soon(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#reload(), SETTLE_MS);
  }

  async #reload(): Promise<void> {
    this.#timer = null;
    const nth = ++this.#reloads;
    try {
      const sizeBytes = await reloadDisk(this.#app.reactor, this.#bdevName);
      if (!this.#closed) this.#follow();
      console.log(`reloaded ${this.#path}, ${sizeBytes} bytes`);
    } catch (error) {
      // A version that another followed while it was loading is nobody's any more.
      if (this.#closed || nth !== this.#reloads) return;
      console.error(`tspdk serve: ${explain(error)}\nthe version before goes on`);
    }
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const watcher of this.#watchers.values()) watcher.close();
  }
}
