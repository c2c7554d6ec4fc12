// A disk in an SQLite database: a row for each 4 KiB that is not zero.
//
//     npm run example -- disk/sqlite --option file=disk.db
//
// node:sqlite comes with Node 22.5 and newer. On older ones better-sqlite3 does the same: `new Database(file)` in the place of `new DatabaseSync(file)`, all else is alike.
import { type DiskOptions, defineDisk, SpdkError } from 'tspdk';

const PAGE = 4096;
const SIZE = 64 * 1024 * 1024;

/** What is used of node:sqlite. */
interface Statement {
  get(...values: unknown[]): unknown;
  all(...values: unknown[]): unknown[];
  run(...values: unknown[]): unknown;
}
interface Database {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}
type Sqlite = { DatabaseSync: new (file: string) => Database };

async function open(file: string): Promise<Database> {
  const name = 'node:sqlite';
  const { DatabaseSync } = (await import(name).catch((cause) => {
    throw new SpdkError('ENOTSUP', `Node ${process.versions.node} has no ${name}: use 22.5 or newer`, { cause });
  })) as Sqlite;
  return new DatabaseSync(file);
}

// A function gets what the user said: `--option file=disk.db`, or './sqlite.ts?file=disk.db'.
export default async ({ file = 'disk.db' }: DiskOptions) => {
  const db = await open(String(file));
  // With NORMAL a checkpoint waits for the disk, and nothing else does; with OFF flush would promise what nobody keeps.
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
  db.exec('CREATE TABLE IF NOT EXISTS pages (page INTEGER PRIMARY KEY, data BLOB NOT NULL)');
  const some = db.prepare('SELECT page, data FROM pages WHERE page >= ? AND page < ?');
  const put = db.prepare('INSERT INTO pages VALUES (?, ?) ON CONFLICT (page) DO UPDATE SET data = excluded.data');
  const drop = db.prepare('DELETE FROM pages WHERE page >= ? AND page < ?');

  const forget = (offset: number, length: number) => {
    drop.run(offset / PAGE, (offset + length) / PAGE);
  };
  return defineDisk({
    size: SIZE,
    // With blocks as large as rows no write ever has to read first.
    blockSize: PAGE,
    read(offset, buffer) {
      const first = offset / PAGE;
      buffer.fill(0);
      for (const row of some.all(first, first + buffer.length / PAGE)) {
        const { page, data } = row as { page: number; data: Uint8Array };
        buffer.set(data, (page - first) * PAGE);
      }
    },
    write(offset, buffer) {
      db.exec('BEGIN');
      try {
        for (let at = 0; at < buffer.length; at += PAGE) {
          // A copy: `buffer` is the client's memory, and shared between threads.
          put.run((offset + at) / PAGE, buffer.slice(at, at + PAGE));
        }
        db.exec('COMMIT');
      } catch (error) {
        db.exec('ROLLBACK');
        throw error;
      }
    },
    // What was written is on stable storage when this returns.
    flush() {
      const { busy } = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy: number };
      if (busy !== 0) throw new SpdkError('EIO', 'another program keeps the database from a checkpoint');
    },
    trim: forget,
    zero: forget,
    close: () => db.close(),
  });
};
