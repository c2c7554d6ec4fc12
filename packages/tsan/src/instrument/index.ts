// Source text in, rewritten text out. Pure: what it needs from the process (ids of sites) it asks of its caller.

export { type Instrumented, instrument, type InstrumentOptions } from './instrument.js';
export type { SiteTable } from './sites.js';
export type { RawSourceMap } from './source-map.js';
