// A disk of one's own over NBD: an async defineDisk beside nbdkit's Python plugin doing the same, which is a copy out of memory. One server on one core, fio on the other, in turns.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FioJob, fio } from './fio.ts';
import { alternate, type Benchmark, type Row, row } from './harness.ts';
import { cli, Server } from './processes.ts';
import { cores } from './run-app.ts';

const sizeBytes = 64 * 1024 * 1024;
const seconds = Number(process.env.TSPDK_BENCH_FIO_SECONDS ?? 2);
const job: FioJob = { rw: 'randread', blockBytes: 4096, depth: 32, seconds };
const kit = new URL('../../packages/tspdk/dist/index.js', import.meta.url).href;

const ours = `
import { defineDisk } from ${JSON.stringify(kit)};
const memory = new Uint8Array(${sizeBytes}).fill(7);
export default defineDisk({
  size: memory.length,
  async read(offset, buffer) { buffer.set(memory.subarray(offset, offset + buffer.length)); },
});
`;

const python = `
API_VERSION = 2
memory = bytearray(b"\\7") * ${sizeBytes}
# The fastest of its thread models here.
def thread_model():
    import nbdkit
    return nbdkit.THREAD_MODEL_PARALLEL
def open(readonly):
    return 1
def get_size(h):
    return len(memory)
def pread(h, buf, offset, flags):
    buf[:] = memory[offset:offset + len(buf)]
`;

async function run(say: (line: string) => void): Promise<Row[]> {
  const [core, client] = cores(2);
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-bench-'));
  const [disk, plugin] = [join(dir, 'disk.mjs'), join(dir, 'disk.py')];
  writeFileSync(disk, ours);
  writeFileSync(plugin, python);
  const at = (name: string) => ({ path: join(dir, `${name}.sock`) });
  const uri = (name: string) => `nbd+unix:///disk?socket=${at(name).path}`;
  const [us, peer] = [at('tspdk'), at('nbdkit')];
  const command = [process.execPath, cli, 'serve', disk, '--nbd', `unix:${us.path}`, '-m', `[${core}]`];
  const tspdk = new Server([...command, '--no-rpc-server'], { core });
  const nbdkit = new Server(['nbdkit', '-f', '-U', peer.path, 'python', plugin], { core });
  try {
    await tspdk.listening(us);
    await nbdkit.listening(peer);
    say('async defineDisk and nbdkit’s Python plugin, 4 KiB random read, depth 32');
    const compared = await alternate(
      async () => ({ iops: (await fio(uri('tspdk'), job, client)).iops }),
      async () => ({ iops: (await fio(uri('nbdkit'), job, client)).iops }),
    );
    return [
      row({
        name: 'async defineDisk, 4 KiB random read, depth 32, NBD',
        value: compared.ours.iops,
        unit: 'I/O/s',
        better: 'higher',
        peer: { name: 'nbdkit, Python plugin', value: compared.peer.iops },
        target: 3,
      }),
    ];
  } finally {
    await tspdk.stop();
    await nbdkit.stop();
    rmSync(dir, { recursive: true });
  }
}

export const userDisk: Benchmark = {
  name: 'user-disk',
  about: 'a disk of async functions over NBD, beside the same as a Python plugin of nbdkit; unix socket',
  run,
};
