// Source text in, rewritten text out. Pure: what it needs from the process (ids of sites) it asks of its caller.

export { type Instrumented, type InstrumentOptions, instrument } from './instrument.ts';
export type { SiteTable } from './sites.ts';
export type { RawSourceMap } from './source-map.ts';
