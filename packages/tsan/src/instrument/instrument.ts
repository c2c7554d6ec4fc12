// One file: parsed, walked, rewritten, with a source map that leads through the map the text came with. Line numbers never change, so
// stacks name the right lines even where nobody reads source maps.

import { type Options, type Program, parse } from 'acorn';
import { callForms } from './calls.js';
import { elementForms } from './elements.js';
import { functionForms } from './functions.js';
import { patternForms } from './patterns.js';
import { Rewriter } from './rewriter.js';
import { type SiteTable, Sites } from './sites.js';
import { originalPositions, type RawSourceMap } from './source-map.js';

export interface InstrumentOptions {
  /** The address of the file, as in its stacks. */
  url: string;
  sourceType: 'module' | 'commonjs' | 'script';
  /** The map from an earlier text, if this text is not the original. */
  map?: RawSourceMap | undefined;
  /** Takes the sites of the file and returns the id of the first; the others follow. */
  allocate: (table: SiteTable) => number;
}

export interface Instrumented {
  code: string;
  /** From the rewritten text to the given one, or to the original where the given one had a map. */
  map: RawSourceMap;
}

const forms = { ...elementForms, ...patternForms, ...functionForms, ...callForms };

/**
 * Rewrites a program.
 * @returns undefined when nothing in it can touch a view
 * @throws {SyntaxError} of acorn when the text does not parse
 */
export function instrument(source: string, options: InstrumentOptions): Instrumented | undefined {
  const program = parseProgram(source, options.sourceType);
  const original = options.map && originalPositions(options.map, options.url);
  const sites = new Sites(options.url, source, original);
  const rewriter = new Rewriter(source, sites, forms);
  rewriter.visit(program);
  if (rewriter.edits.isEmpty) return undefined;
  const rewritten = rewriter.edits.apply(source, options.allocate(sites.table));
  const map = rewritten.generateMap({ source: options.url, hires: 'boundary' }) as RawSourceMap;
  return { code: rewritten.toString(), map };
}

function parseProgram(source: string, sourceType: InstrumentOptions['sourceType']): Program {
  const common: Options = { ecmaVersion: 'latest', sourceType, allowHashBang: true, preserveParens: true };
  return parse(source, common);
}
