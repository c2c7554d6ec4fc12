/** That V8 is asked to inline for longer, and the command line is left alone. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { inliningFlags } from './jit.ts';

const event = new URL('../event/index.js', import.meta.url).href;

/** Whether V8's flags are others after an application has run than before: V8 names caches of code after all its flags. */
function changes(...flags: readonly string[]): boolean {
  const program = `
    import { cachedDataVersionTag } from 'node:v8';
    import { App } from ${JSON.stringify(event)};
    const before = cachedDataVersionTag();
    await App.start({ name: 'jit', cores: [0], pin: false }, (app) => app.stop(0));
    console.log(before !== cachedDataVersionTag());`;
  const out = execFileSync(process.execPath, [...flags, '--input-type=module', '-e', program], { encoding: 'utf8' });
  return out.trim() === 'true';
}

test('an application asks V8 to inline for longer, and leaves a flag alone that the command line has set', () => {
  assert.equal(changes(), true);
  assert.equal(changes('--max-inlined-bytecode-size=460'), true);
  assert.equal(changes('--max-inlined-bytecode-size=460', '--max-inlined-bytecode-size-cumulative=920'), false);
});

test('a flag of the command line is known in every way that V8 takes it', () => {
  const both = ['--max-inlined-bytecode-size=1000', '--max-inlined-bytecode-size-cumulative=4000'];
  assert.deepEqual(inliningFlags(['--expose-gc', '--test']), both);
  assert.deepEqual(inliningFlags(['--max_inlined_bytecode_size=300']), both.slice(1));
  assert.deepEqual(inliningFlags(['-max-inlined-bytecode-size', '300']), both.slice(1));
  assert.deepEqual(inliningFlags(['--max-inlined-bytecode-size-cumulative', '5']), both.slice(0, 1));
});
