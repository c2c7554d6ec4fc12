// One file: parsed, walked, rewritten, with a source map that leads through the map the text came with. Line numbers never change, so
// stacks name the right lines even where nobody reads source maps.

import { type Options, type Program, parse } from 'acorn';
import { callForms } from './calls.ts';
import { chainForms } from './chains.ts';
import { elementForms } from './elements.ts';
import { functionForms } from './functions.ts';
import { patternForms } from './patterns.ts';
import { Rewriter } from './rewriter.ts';
import { Sites, type SiteTable } from './sites.ts';
import { chain, encode, originalPositions, type RawSourceMap } from './source-map.ts';

export interface InstrumentOptions {
  /** The address of the file, as in its stacks. */
  url: string;
  sourceType: 'module' | 'commonjs' | 'script';
  /** The map from an earlier text, if this text is not the original. */
  map?: RawSourceMap | undefined;
  /** A statement to run before everything else, behind the directives; the result then always differs from the source. */
  preamble?: string | undefined;
  /** Takes the sites of the file and returns the id of the first; the others follow. */
  allocate: (table: SiteTable) => number;
}

export interface Instrumented {
  code: string;
  /** From the rewritten text to the given one, or to the original where the given one had a map. */
  map: RawSourceMap;
}

const forms = { ...elementForms, ...chainForms, ...patternForms, ...functionForms, ...callForms };

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
  rewriter.preamble = options.preamble ?? '';
  rewriter.isScript = options.sourceType === 'script';
  rewriter.visit(program);
  if (rewriter.edits.isEmpty) return undefined;
  const rewritten = rewriter.edits.apply(source, options.allocate(sites.table));
  const map = rewritten.generateDecodedMap({ source: options.url, hires: 'boundary' });
  return { code: rewritten.toString(), map: options.map ? chain(map, options.map, options.url) : encode(map) };
}

function parseProgram(source: string, sourceType: InstrumentOptions['sourceType']): Program {
  const common: Options = { ecmaVersion: 'latest', sourceType, allowHashBang: true, preserveParens: true };
  return parse(source, common);
}
