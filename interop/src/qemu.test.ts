// QEMU's tools: images converted onto the disk and compared with it, qemu-io's single operations, and blkverify, which does everything on a plain file as well and stops where
// the two differ.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { runOk } from './client.ts';
import { writePattern } from './pattern.ts';
import { random } from './random.ts';
import { scratch } from './scratch.ts';
import { requiresServer, serverKind, startServer } from './server.ts';

const sizeBytes = 128 << 20;

test('qemu-img converts onto the disk, compares, maps and converts back', async (t) => {
  if (!requiresServer(t, 'qemu-img')) return;
  const dir = scratch(t);
  const [raw, qcow2, back] = [join(dir, 'raw'), join(dir, 'qcow2'), join(dir, 'back')];
  writePattern(raw, sizeBytes, 3);
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2]);
  const server = await startServer(t, { sizeBytes, reactors: 2 });
  const info = JSON.parse(await runOk('qemu-img', ['info', '--output=json', '-f', 'raw', server.uri]));
  assert.equal(info['virtual-size'], sizeBytes);
  await runOk('qemu-img', ['convert', '-n', '-m', '16', '-W', '-f', 'qcow2', '-O', 'raw', qcow2, server.uri]);
  await runOk('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', qcow2, server.uri]);
  const map = JSON.parse(await runOk('qemu-img', ['map', '--output=json', '-f', 'raw', server.uri])) as {
    length: number;
  }[];
  assert.equal(
    map.reduce((sum, { length }) => sum + length, 0),
    sizeBytes,
  );
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', server.uri, back]);
  assert.equal(await runOk('cmp', [raw, back]), '');
  await server.stop();
});

/** Runs qemu-io commands on the disk. It prints an error and goes on, with exit code 1 at the end. */
async function qemuIo(uri: string, ...commands: string[]): Promise<string> {
  const output = await runOk('qemu-io', ['-f', 'raw', '-d', 'unmap', uri, ...commands.flatMap((each) => ['-c', each])]);
  assert.doesNotMatch(output, /failed/, output);
  return output;
}

/** What the disks under test are made of. */
const memory = {
  method: 'bdev_malloc_create',
  params: { name: 'm', num_blocks: sizeBytes / 512, block_size: 512 },
};
const disks: [what: string, options: { readonly bdevs?: readonly object[] }][] = [
  ['memory', {}],
  [
    'memory with protection information',
    {
      bdevs: [
        {
          method: 'bdev_malloc_create',
          params: {
            name: 'disk',
            num_blocks: sizeBytes / 512,
            block_size: 512,
            md_size: 8,
            md_interleave: true,
            dif_type: 1,
          },
        },
      ],
    },
  ],
  [
    'filters over memory',
    {
      bdevs: [
        memory,
        { method: 'bdev_passthru_create', params: { name: 'p', base_bdev_name: 'm' } },
        { method: 'bdev_error_create', params: { base_name: 'p' } },
        {
          method: 'bdev_delay_create',
          params: {
            name: 'disk',
            base_bdev_name: 'EE_p',
            avg_read_latency: 50,
            p99_read_latency: 900,
            avg_write_latency: 50,
            p99_write_latency: 900,
          },
        },
      ],
    },
  ],
];
for (const [what, options] of disks) {
  test(`qemu-io reads what it wrote, zeroed and discarded, at odd places too: ${what}`, async (t) => {
    if (!requiresServer(t, 'qemu-io')) return;
    const server = await startServer(t, { sizeBytes, ...options });
    await qemuIo(
      server.uri,
      'write -P 0xab 0 1M',
      'write -P 0xcd 1048064 512',
      'read -P 0xab 0 1048064',
      'read -P 0xcd 1048064 512',
      `write -P 0x11 ${sizeBytes - 4096} 4096`,
      `read -P 0x11 ${sizeBytes - 4096} 4096`,
      'write -f -P 0x22 2M 64k',
      'read -P 0x22 2M 64k',
      'flush',
    );
    await qemuIo(
      server.uri,
      // Still there for the next client.
      'read -P 0xab 0 1048064',
      'write -z 512k 128k',
      'read -P 0xab 0 512k',
      'read -P 0 512k 128k',
      'read -P 0xab 640k 128k',
      'write -z -u 2M 64k',
      'read -P 0 2M 64k',
      'discard 0 64k',
      'read 0 64k',
      'aio_write -P 0x31 8M 1M',
      'aio_write -P 0x32 9M 1M',
      'aio_write -P 0x33 10M 1M',
      'aio_flush',
      'read -P 0x31 8M 1M',
      'read -P 0x32 9M 1M',
      'read -P 0x33 10M 1M',
      // 32 MiB in one request, the most that QEMU sends.
      'write -P 0x44 32M 32M',
      'read -P 0x44 32M 32M',
    );
    await server.stop();
  });
  if (serverKind !== 'tspdk') break;
}

test('qemu-io resizes nothing and cannot write beyond the end', async (t) => {
  if (!requiresServer(t, 'qemu-io')) return;
  const server = await startServer(t, { sizeBytes });
  await assert.rejects(qemuIo(server.uri, `write -P 1 ${sizeBytes} 512`));
  await qemuIo(server.uri, `read -P 0 ${sizeBytes - 512} 512`);
  await server.stop();
});

const lanes = 8;
const laneBytes = 1 << 20;

/** Commands for qemu-io: batches of reads and writes at once, each in a lane of its own, since what overlapping ones leave is undefined. */
function batches(seed: number, count: number): string[] {
  const pick = random(seed);
  const commands: string[] = [];
  for (let batch = 0; batch < count; batch++) {
    for (let lane = 0; lane < lanes; lane++) {
      const bytes = 512 * (1 + pick(pick(8) === 0 ? 1024 : 32));
      const at = lane * laneBytes + 512 * pick((laneBytes - bytes) / 512 + 1);
      commands.push(pick(5) < 3 ? `aio_write -P ${pick(256)} ${at} ${bytes}` : `aio_read ${at} ${bytes}`);
    }
    commands.push('aio_flush', ...(pick(4) === 0 ? ['flush'] : []));
  }
  return commands;
}

const seed = Number(process.env.TSPDK_SEED ?? Math.floor(Math.random() * 2 ** 31));

for (const [what, options] of disks) {
  test(`blkverify finds no difference between the disk and a file: ${what}, TSPDK_SEED=${seed}`, async (t) => {
    if (!requiresServer(t, 'qemu-io')) return;
    const raw = join(scratch(t), 'raw');
    writePattern(raw, sizeBytes, 0);
    const server = await startServer(t, {
      sizeBytes,
      reactors: 2,
      ...options,
    });
    await runOk('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', raw, server.uri]);
    // A difference ends it, with the place of the first one on stderr.
    const output = await runOk('qemu-io', [`blkverify:${raw}:${server.uri}`], {
      input: `${batches(seed, 60).join('\n')}\n`,
    });
    assert.doesNotMatch(output, /failed/, output);
    assert.match(output, /wrote \d+\/\d+ bytes/);
    await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', raw, server.uri]);
    await server.stop();
  });
  if (serverKind !== 'tspdk') break;
}
