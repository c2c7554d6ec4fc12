/**
 * The target as tests run it: a real application with memory disks, on as many cores as there are, without signals and pinning.
 */
import { availableParallelism } from 'node:os';
import { bdevRegistry } from '../bdev/index.ts';
import { App, type AppOptions } from '../event/index.ts';
import { bdevSubsystem } from '../module/bdev/index.ts';
import type { SockAddress } from '../sock/index.ts';
import { type NbdTarget, nbdSubsystem, nbdTarget } from './index.ts';

export const testCores: readonly number[] = availableParallelism() > 1 ? [0, 1] : [0];

/** A running target with one exported memory disk "disk" (Malloc0) and a TCP server on a free port. */
export interface RunningTarget {
  readonly app: App;
  readonly target: NbdTarget;
  readonly address: SockAddress;
}

export async function makeMemoryDisk(app: App, name: string, sizeBytes: number, blockSize = 512): Promise<void> {
  const params = { name, block_size: blockSize, num_blocks: sizeBytes / blockSize };
  await bdevRegistry(app.reactor).create('malloc', params);
}

/** Runs `body` against a target and stops it; resolves with the exit code, 0 when nothing leaked. Rejects when `body` does. */
export async function withTarget(
  body: (running: RunningTarget) => Promise<void>,
  options: { sizeBytes?: number } & Partial<AppOptions> = {},
): Promise<number> {
  const { sizeBytes = 16 * 1024 * 1024, ...rest } = options;
  let failure: unknown = null;
  const subsystems = [bdevSubsystem, nbdSubsystem];
  const rc = await App.start({ cores: testCores, pin: false, signals: false, subsystems, ...rest }, async (app) => {
    try {
      const target = nbdTarget(app);
      await makeMemoryDisk(app, 'Malloc0', sizeBytes);
      await target.addExport({ name: 'disk', bdevName: 'Malloc0' });
      const { port } = await target.startServer({ host: '127.0.0.1', port: 0 }, 'tcp');
      await body({ app, target, address: { host: '127.0.0.1', port } });
    } catch (error) {
      failure = error;
    }
    app.stop(0);
  });
  if (failure !== null) throw failure;
  return rc;
}
