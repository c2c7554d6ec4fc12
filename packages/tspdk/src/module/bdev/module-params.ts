/**
 * What each kind of disk in this folder is made from, by the name that `BdevRegistry.create` takes: types alone. A kind that is made elsewhere says so beside itself, in the
 * same way.
 */
import type { DelayBdevParams } from './delay/delay-bdev.ts';
import type { DiskBdevParams } from './disk/disk-bdev.ts';
import type { ErrorBdevParams } from './error/error-bdev.ts';
import type { FileBdevParams } from './file/file-bdev.ts';
import type { GptBdevParams } from './gpt/gpt-bdev.ts';
import type { LogWritesBdevParams } from './logwrites/logwrites-bdev.ts';
import type { MallocBdevParams } from './malloc/malloc-bdev.ts';
import type { NullBdevParams } from './null/null-bdev.ts';
import type { PassthruBdevParams } from './passthru/passthru-bdev.ts';
import type { RaidBdevParams } from './raid/raid-bdev.ts';
import type { RbdBdevParams } from './rbd/rbd-bdev.ts';
import type { SplitBdevParams } from './split/split-bdev.ts';
import type { VerifyBdevParams } from './verify/verify-bdev.ts';

declare module '../../bdev/module.ts' {
  interface BdevModuleParams {
    aio: FileBdevParams;
    delay: DelayBdevParams;
    disk: DiskBdevParams;
    error: ErrorBdevParams;
    gpt: GptBdevParams;
    logwrites: LogWritesBdevParams;
    malloc: MallocBdevParams;
    null: NullBdevParams;
    passthru: PassthruBdevParams;
    raid: RaidBdevParams;
    rbd: RbdBdevParams;
    split: SplitBdevParams;
    uring: FileBdevParams;
    verify: VerifyBdevParams;
  }
}
