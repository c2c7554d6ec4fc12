// Random programs over the world of run-both: arrays, views with and without a tag, objects with accessors, strings, null. They end (loops run
// over what is finite, nothing recurs) and may throw anywhere. Text, not trees: what is to be rewritten is text.

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: programs as text.

import fc from 'fast-check';

const names = ['a', 'a', 't', 't', 't', 'u', 'o', 'i', 'j', 's', 'un', 'nil', 'k', 'this'];
const views = ['t', 't', 'o.p', 'a', 'u', 'o.q', 'this.p', 'f(t)', '(t)'];
const operators = ['+', '-', '*', '|', '<', '===', ',', '&&', '||', '??', '%', 'in'];
const assignments = ['=', '=', '=', '+=', '-=', '|=', '**=', '??=', '||=', '&&='];

interface Grammar {
  atom: string;
  key: string;
  target: string;
  pattern: string;
  call: string;
  expression: string;
  statement: string;
  body: string;
}

const { letrec, constantFrom, tuple, oneof, array } = fc;

/** `template` with each `#` replaced by the next of `parts`. */
function fill(template: string, ...parts: fc.Arbitrary<string>[]): fc.Arbitrary<string> {
  return tuple(...parts).map((texts) => {
    let next = 0;
    return template.replace(/#/g, () => texts[next++]);
  });
}

function grammar(tie: (name: keyof Grammar) => fc.Arbitrary<unknown>): Record<keyof Grammar, fc.Arbitrary<string>> {
  const e = tie('expression') as fc.Arbitrary<string>;
  const target = tie('target') as fc.Arbitrary<string>;
  const pattern = tie('pattern') as fc.Arbitrary<string>;
  const key = tie('key') as fc.Arbitrary<string>;
  const call = tie('call') as fc.Arbitrary<string>;
  const statement = tie('statement') as fc.Arbitrary<string>;
  const body = tie('body') as fc.Arbitrary<string>;
  const name = constantFrom(...names);
  const index = constantFrom('0', '1', '2', 'i', 'j', 'i - 1', 'i + j', 'f(0)', 't[3]', '(i, j)', 'i++', '~~s');
  const atom = oneof(
    name,
    constantFrom('0', '1', '2', '-1', '1.5', '"q"', '"1"', '[]', '{}', '1n', '/x/', 'o.p', 'o.z', 'true', '`${i}`').map(
      (x) => (x === '{}' ? '({})' : x),
    ),
  );
  return {
    atom,
    key: oneof({ maxDepth: 3 }, constantFrom('0', '1', 'i', 'j', '"p"', 'k', '"0"', 'i + 1', 'Symbol.iterator'), e),
    target: oneof(
      { maxDepth: 3 },
      fill('#[#]', constantFrom(...views), index),
      fill('#[#]', constantFrom(...views), index),
      fill('#[#]', constantFrom(...views), index),
      fill('#[#]', constantFrom(...views), index),
      fill('#[#]', name, key),
      fill('#[#]', constantFrom('o.p', 'o.z', 'f(t)', 'f(a)', '(a)', 'o.q'), key),
      fill('(#)[#]', e, key),
      constantFrom('i', 'un', 'o.z', 'o.w', '(t[i])'),
    ),
    pattern: oneof(
      { maxDepth: 3 },
      target.map((x) => (x === '(t[i])' ? 't[i]' : x)),
      fill('[#, #]', pattern, pattern),
      fill('[# = #, ...#]', target, e, pattern),
      fill('{ x: #, [#]: # = # }', target, key, target, e),
      fill('{ 0: #, ...# }', target, target),
    ),
    call: oneof(
      { maxDepth: 3 },
      fill('f(#)', e),
      fill('g(#, ...#)', e, e),
      fill('#[#](#)', name, key, e),
      fill('#?.[#](#)', name, key, e),
      fill('(#)?.q[#]', e, key),
      fill('#?.[#]?.[#].p', name, key, key),
      fill('#?.z?.[#]?.x[#]', name, key, key),
      fill('(#)[#].toString(#)', e, key, e),
      fill('#[#].at(#)', name, key, e),
      fill('((x, y = #) => [x, y])(#)', e, e),
      fill('(x => { # })(#)', body, e),
      fill('(function (x, [y] = [#]) { # }).call(Object(#))', e, body, e),
      fill('[...(function* () { # = yield #; yield* [#]; }).call(o)]', target, e, e),
      fill('f(class { x = #; static y = #; [#]() {} }).y', e, e, key),
      fill('new (class { x = #; constructor() { this.y = #; } })()', e, e),
      fill('#.slice(#)', e, e),
      fill('#.fill(#, #)', constantFrom('a', 't', 'u'), e, e),
      fill('delete #[#]', name, key),
      fill('o.g`${#}`', e),
      fill('eval("#")', constantFrom('t[0]', 'i', 'a[i] = 5', 'un')),
    ),
    expression: oneof(
      { maxDepth: 3, depthSize: 'xsmall' },
      atom,
      fill('#[#]', constantFrom(...views), index),
      fill('#[#]', constantFrom(...views), index),
      fill('#[#]', name, key),
      target,
      fill('# # #', atom, constantFrom(...operators), atom).map((x) => `(${x})`),
      fill('(# # #)', e, constantFrom(...operators), e),
      fill('(# # #)', target, constantFrom(...assignments), e),
      fill('(# = #)', target, constantFrom('function () {}', '() => 1', 'class {}', '(function () {})')),
      fill('(#++)', target),
      fill('(--#)', target),
      fill('(# ? # : #)', e, e, e),
      fill('[#, , #, ...#]', e, e, e),
      fill('({ x: #, [#]: #, ...# })', e, key, e, e),
      fill('([#] = [#, #])', pattern, e, e),
      fill('([#, #] = #)', pattern, pattern, e),
      fill('({ y: #, 1: # } = #)', pattern, target, e),
      fill('`#${#}`', constantFrom('', 'x'), e),
      fill('typeof #', e),
      call,
    ),
    statement: oneof(
      { maxDepth: 3 },
      fill('#;', e),
      fill('#\n', e),
      fill('f(#)\n', e),
      fill(
        'if (#) # else #',
        e,
        body.map((x) => `{ ${x} }`),
        statement,
      ),
      fill('for (const x of [#, #]) { # }', e, e, body),
      fill('for (# of [#, #]) f(i)\n', target, e, e),
      fill('for (const n in #) f(#[n]);', e, name),
      fill('for (# in #) f(i);', target, name),
      fill('try { # } catch (e) { f(e instanceof Error ? e.message : e) } finally { # }', body, statement),
      fill('{ let [x, y = #] = [#]; f(x); f(y); }', e, e),
      fill('{ const { 0: x, [#]: y } = #; f(x); f(y); }', key, e),
      fill('switch (#) { case #: #\n default: # }', e, e, e, statement),
      fill('return #;', e),
    ),
    body: array(statement, { minLength: 1, maxLength: 3 }).map((all) => all.join(' ')),
  };
}

const guarded = letrec<Grammar>(grammar as never).statement.map((text) => {
  return `try { ${text} } catch (e) { f(e instanceof Error ? e.name + e.message : e) }`;
});

/** Bodies of functions. A statement that throws ends only itself. */
export const programs: fc.Arbitrary<string> = fc
  .array(guarded, { minLength: 1, maxLength: 8 })
  .map((all) => all.join('\n'));
