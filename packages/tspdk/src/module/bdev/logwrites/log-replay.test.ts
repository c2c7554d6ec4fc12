/** A log that somebody else wrote: QEMU's blklogwrites, replayed, must give the disk that QEMU left. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LOG_DISCARD_FLAG, LOG_FLUSH_FLAG } from './log-format.ts';
import { diskInMemory, LogReader, logInMemory, replayLog } from './log-replay.ts';

const DISK_BYTES = 1024 * 1024;

test('a log of qemu-io gives its disk again', (t) => {
  if (spawnSync('qemu-io', ['--version']).status !== 0) return t.skip('no qemu-io: apt-get install qemu-utils');
  const folder = mkdtempSync(join(tmpdir(), 'tspdk-log-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const disk = join(folder, 'disk');
  const log = join(folder, 'log');
  for (const path of [disk, log]) {
    writeFileSync(path, '');
    truncateSync(path, DISK_BYTES);
  }
  for (const sectorSize of [512, 4096]) {
    const image = `driver=blklogwrites,file.driver=file,file.filename=${disk},log.driver=file,log.filename=${log}`;
    const before = Uint8Array.from(readFileSync(disk));
    const commands = ['write -P 90 4k 16k', 'write -f -P 51 32k 8k', 'flush', 'discard 8k 4k', 'write -P 7 512k 64k'];
    const args = ['-d', 'unmap', '--image-opts', `${image},log-sector-size=${sectorSize}`];
    const run = spawnSync('qemu-io', [...args, ...commands.flatMap((each) => ['-c', each])], { encoding: 'utf8' });
    assert.equal(run.status, 0, run.stderr + run.stdout);
    const source = logInMemory(readFileSync(log));
    const reader = new LogReader(source);
    assert.equal(reader.sectorSize, sectorSize);
    const kinds: string[] = [];
    while (reader.next()) {
      const { entry } = reader;
      const kind = entry.has(LOG_FLUSH_FLAG) ? 'flush' : entry.has(LOG_DISCARD_FLAG) ? 'discard' : 'write';
      if (kind !== 'flush') kinds.push(`${kind} ${entry.sector * sectorSize} ${entry.nrSectors * sectorSize}`);
    }
    assert.deepEqual(kinds, [
      'write 4096 16384',
      'write 32768 8192',
      'discard 8192 4096',
      `write ${512 * 1024} ${64 * 1024}`,
    ]);
    const { torn } = replayLog(source, diskInMemory(before));
    assert.equal(torn, null);
    assert.equal(Buffer.compare(before, readFileSync(disk)), 0);
  }
});
