/** The kit's version, from its package. */
import { readFileSync } from 'node:fs';

/** `major.minor.patch`. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
