/**
 * A disk on another that fails on demand, as SPDK's error bdev (module/bdev/error): named EE_ and the base's name. It passes everything on; what goes wrong are fault rules of the
 * disk (bdev/faults/), as any disk may have them. This one is for scripts that know SPDK's, and so that the base itself stays sound.
 */
import { type BdevModule, type BdevSpec, registerBdevModule } from '../../../bdev/index.ts';
import type { Reactor } from '../../../event/reactor.ts';
import { attachPassthru, baseName, newPassthru } from '../passthru/passthru-bdev.ts';

/** Our own: SPDK's error disks have a new one each time. */
const NAMESPACE = '10171aa0-f4d7-49a5-a98b-0f7d141a98b7';

export interface ErrorBdevParams {
  readonly base_name: string;
  /** Default: one that follows from the base's. */
  readonly uuid?: string | undefined;
}

const PREFIX = 'EE_';

/** What the error disk on `base` is called. */
export function errorBdevName(base: string): string {
  return `${PREFIX}${base}`;
}

export const errorModule: BdevModule<ErrorBdevParams> = registerBdevModule<ErrorBdevParams>({
  name: 'error',

  create: ({ base_name, uuid }: ErrorBdevParams, reactor: Reactor) =>
    newPassthru(
      'Error Injection Disk',
      NAMESPACE,
      { name: errorBdevName(base_name), base_bdev_name: base_name, uuid },
      reactor,
    ),

  attach: attachPassthru,
  destroy: () => {},
  dumpInfo: (spec: BdevSpec) => ({ error_disk: { base_bdev: baseName(spec) } }),
  // The base as it was named, perhaps by its uuid: the disk is to have the same name again.
  configCalls: ({ name, uuid }: BdevSpec) => [
    { method: 'bdev_error_create', params: { base_name: name.slice(PREFIX.length), uuid } },
  ],
});
