// The Linux kernel's own NBD client, in the guest: a file system on the disk, checked, trimmed and read back, and fio's verification of raw blocks.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requiresGuest, runGuest } from './guest.ts';
import type { Server } from './nbd-server.ts';
import { requiresServer, startServer } from './server.ts';

const sizeBytes = 256 << 20;

/** The guest's commands (by path where busybox would run its own instead) that attach the disk as /dev/nbd0, over several connections. */
function attach(server: Server, connections: number): string {
  assert('port' in server.address);
  const name = server.exportName === '' ? '' : `-N ${server.exportName}`;
  return `
set -e
modprobe -a nbd ext4 crc32c_generic
nbd-client 10.0.2.2 ${server.address.port} /dev/nbd0 ${name} -C ${connections} -b 4096
test "$(blockdev --getsize64 /dev/nbd0)" = ${sizeBytes}
`;
}

const detach = `
nbd-client -d /dev/nbd0
`;

async function check(
  t: Parameters<typeof runGuest>[0],
  server: Server,
  body: string,
  connections = 2,
): Promise<string> {
  const { code, output } = await runGuest(t, `${attach(server, connections)}${body}${detach}`, { timeoutMs: 300_000 });
  assert.equal(code, 0, output);
  assert.doesNotMatch(output, /I\/O error|Call Trace|EXT4-fs error/, output);
  return output;
}

test('the kernel makes, mounts, fills, trims and checks a file system', async (t) => {
  if (!requiresGuest(t) || !requiresServer(t)) return;
  const server = await startServer(t, { sizeBytes, transport: 'tcp', reactors: 2 });
  await check(
    t,
    server,
    `
mkfs.ext4 -q -F /dev/nbd0
mount -t ext4 -o discard /dev/nbd0 /mnt
dd if=/dev/urandom of=/mnt/random bs=1M count=48 2>/dev/null
mkdir /mnt/many
i=0; while [ $i -lt 300 ]; do echo "file $i" > /mnt/many/$i; i=$((i+1)); done
sync
before=$(sha256sum < /mnt/random)
rm -r /mnt/many
/sbin/fstrim -v /mnt
umount /mnt
e2fsck -f -n /dev/nbd0
echo 3 > /proc/sys/vm/drop_caches
mount -t ext4 -o ro /dev/nbd0 /mnt
test "$before" = "$(sha256sum < /mnt/random)"
test ! -e /mnt/many
umount /mnt
`,
  );
  await server.stop();
});

test('fio verifies blocks that the kernel wrote, over four connections', async (t) => {
  if (!requiresGuest(t) || !requiresServer(t)) return;
  const server = await startServer(t, { sizeBytes, transport: 'tcp', reactors: 2 });
  const job = '--name=kernel --filename=/dev/nbd0 --direct=1 --ioengine=libaio --iodepth=32 --thread';
  const output = await check(
    t,
    server,
    `
fio ${job} --rw=randrw --bsrange=4k-64k --size=24M --verify=crc32c --verify_fatal=1
/sbin/blkdiscard -z -o 0 -l 4194304 /dev/nbd0
cmp -n 4194304 /dev/nbd0 /dev/zero
/sbin/blkdiscard -o 8388608 -l 4194304 /dev/nbd0
`,
    4,
  );
  assert.match(output, /err= 0/, output);
  await server.stop();
});
