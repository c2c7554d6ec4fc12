// Protection information, as others may use it.

export { difGenerate, difGenerateCopy, difRemapRefTag, difVerify, difVerifyCopy } from './dif.ts';
export {
  DIF_APPTAG_IGNORE,
  DIF_DISABLE,
  DIF_FLAGS_APPTAG_CHECK,
  DIF_FLAGS_GUARD_CHECK,
  DIF_FLAGS_REFTAG_CHECK,
  DIF_PI_FORMAT_16,
  DIF_PI_FORMAT_32,
  DIF_PI_FORMAT_64,
  DIF_REFTAG_IGNORE,
  DIF_TYPE1,
  DIF_TYPE2,
  DIF_TYPE3,
  DifContext,
  type DifOptions,
} from './dif-context.ts';
export * from './dif-error.ts';
export { difInjectError, dixInjectError } from './dif-inject.ts';
export { dixGenerate, dixRemapRefTag, dixVerify } from './dix.ts';
