// A Linux kernel as a client: QEMU boots a stock Debian kernel in software (no KVM, no privilege) and runs a shell script in it. The host's
// loopback is 10.0.2.2 there, or `host`.

import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { run } from './client.ts';
import { cpioArchive, fileMode } from './cpio.ts';
import { guestImage, hasGuestImage } from './guest-image.ts';
import { findProgram, requires } from './requires.ts';
import { scratch } from './scratch.ts';

export interface GuestOptions {
  readonly timeoutMs?: number;
  readonly memoryMiB?: number;
}

/** What the script printed (both streams) and its exit code. */
export interface GuestResult {
  readonly code: number;
  readonly output: string;
}

/** True when a guest can be run here; else skips `t`. */
export function requiresGuest(t: TestContext): boolean {
  if (process.arch !== 'x64') {
    t.skip('the guest is an x86 one');
    return false;
  }
  if (!requires(t, 'qemu-system-x86_64', 'busybox', 'depmod', 'nbd-client', 'fio', 'mkfs.ext4', 'e2fsck')) return false;
  if (hasGuestImage() || findProgram('apt-get') !== undefined) return true;
  t.skip('the guest is made of Debian packages, and there is no apt-get');
  return false;
}

/** Boots the guest, runs `script` in it (sh, as root) and powers it off. Rejects when the guest does not come to the script's end. */
export async function runGuest(t: TestContext, script: string, options: GuestOptions = {}): Promise<GuestResult> {
  const { timeoutMs = 180_000, memoryMiB = 768 } = options;
  const image = await guestImage();
  const token = `end-${randomBytes(8).toString('hex')}`;
  const added = cpioArchive([
    { path: 'run-this/script', mode: fileMode, data: Buffer.from(script) },
    { path: 'run-this/token', mode: fileMode, data: Buffer.from(token) },
  ]);
  const initrd = join(scratch(t), 'initrd');
  writeFileSync(initrd, Buffer.concat([readFileSync(image.initrd), added]));
  const machine = ['-accel', 'tcg,thread=multi', '-m', String(memoryMiB), '-smp', '2', '-nodefaults', '-no-reboot'];
  const console = ['-display', 'none', '-serial', 'stdio'];
  const boot = ['-kernel', image.kernel, '-initrd', initrd, '-append', 'console=ttyS0 quiet panic=-1'];
  const network = ['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile='];
  const args = [...machine, ...console, ...boot, ...network];
  const finished = await run(findProgram('qemu-system-x86_64')!, args, { timeoutMs });
  const output = printable(finished.stdout);
  const end = new RegExp(`^${token} (\\d+)$`, 'm').exec(output);
  if (end === null) throw new Error(`the guest did not come to the script's end:\n${output}${finished.stderr}`);
  return { code: Number(end[1]), output: output.slice(0, end.index) };
}

/** What a serial console printed, without carriage returns and terminal control sequences. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it removes.
  return text.replace(/\r/g, '').replace(/\x1b\[[\x20-\x3f]*[\x40-\x7e]|\x1b[^[]/g, '');
}
