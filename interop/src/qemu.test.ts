// QEMU's tools: images converted onto the disk and compared with it, and qemu-io's single operations.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { runOk } from './client.ts';
import { writePattern } from './pattern.ts';
import { scratch } from './scratch.ts';
import { requiresServer, startServer } from './server.ts';

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

test('qemu-io reads what it wrote, zeroed and discarded, at odd places too', async (t) => {
  if (!requiresServer(t, 'qemu-io')) return;
  const server = await startServer(t, { sizeBytes });
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

test('qemu-io resizes nothing and cannot write beyond the end', async (t) => {
  if (!requiresServer(t, 'qemu-io')) return;
  const server = await startServer(t, { sizeBytes });
  await assert.rejects(qemuIo(server.uri, `write -P 1 ${sizeBytes} 512`));
  await qemuIo(server.uri, `read -P 0 ${sizeBytes - 512} 512`);
  await server.stop();
});
