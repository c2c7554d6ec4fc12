// The one global of rewritten code, and what stands there in a thread that has no sanitizer.

import type { Runtime } from './runtime.ts';
import type { SiteTable } from './sites.ts';

/** What rewritten code refers to. Guards are fast only on an object with few, fixed properties. */
export interface Jstsan {
  readonly S: symbol;
  readonly r: Runtime['check']['read'];
  readonly w: Runtime['check']['write'];
  readonly u: Runtime['check']['update'];
  readonly k: Int32Array;
  readonly module: (table: SiteTable) => number;
}

/** For a thread without the sanitizer that runs rewritten code all the same: nothing carries this tag there. */
export const inert: Jstsan = Object.freeze({
  S: Symbol('none'),
  r() {},
  w() {},
  u() {},
  k: new Int32Array(16),
  module: () => 0,
});
