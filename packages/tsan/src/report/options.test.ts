// JSTSAN_OPTIONS: what is accepted, what it becomes, and that everything else stops the program.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { OptionsError, optionRows, parseOptions } from './options.ts';

test('nothing given is the presets', () => {
  const options = parseOptions('');
  assert.equal(options.exitcode, 66);
  assert.equal(options.mode, 'record');
  assert.equal(options.seed, undefined);
  assert.equal(options.log_path, 'stderr');
  assert.equal(options.report_atomic_races, true);
});

test('every separator of ThreadSanitizer separates, and quotes keep them', () => {
  const separators = fc.stringMatching(/^[ ,:\n\t\r]{1,3}$/);
  const quoted = fc.tuple(fc.constantFrom('"', "'"), fc.stringMatching(/^[ ,:\na-z/]{0,12}$/));
  fc.assert(
    fc.property(
      fc.array(separators, { minLength: 4, maxLength: 4 }),
      fc.nat(255),
      quoted,
      (gaps, exitcode, [quote, path]) => {
        const source = `${gaps[0]}exitcode=${exitcode}${gaps[1]}log_path=${quote}${path}${quote}${gaps[2]}seed=4294967295${gaps[3]}`;
        const options = parseOptions(source);
        assert.equal(options.exitcode, exitcode);
        assert.equal(options.log_path, path);
        assert.equal(options.seed, 4294967295);
      },
    ),
  );
});

test('perturb=1 and mode=perturb are one', () => {
  for (const source of ['perturb=1', 'mode=perturb', 'perturb=yes']) {
    assert.equal(parseOptions(source).mode, 'perturb');
    assert.equal(parseOptions(source).perturb, true);
  }
  assert.equal(parseOptions('perturb=1:perturb=0').mode, 'record');
});

test('a list has its own separators inside quotes', () => {
  assert.deepEqual(parseOptions('exclude="a/*, b.js  ^c$"').exclude, ['a/*', 'b.js', '^c$']);
});

test('what cannot be meant is refused with option, value and limit', () => {
  const refused: [string, RegExp][] = [
    ['exitcode=256', /^exitcode=256: must be an integer from 0 to 255$/],
    ['exitcode=', /^exitcode=: must be an integer/],
    ['exitcode=-1', /must be an integer/],
    ['exitcode=1e2', /must be an integer/],
    ['seed=4294967296', /from 0 to 4294967295/],
    ['format=xml', /^format=xml: must be text, json or sarif$/],
    ['mode=fast', /must be record or perturb/],
    ['perturb=2', /^perturb=2: must be 0 or 1$/],
    ['exitcod=1', /^unknown option 'exitcod', perhaps 'exitcode'; help=1 lists all$/],
    ['LogPath=x', /perhaps 'log_path'/],
    ['constructor=1', /^unknown option 'constructor';/],
    ['help', /^'help' has no value: write help=VALUE$/],
    ['log_path="x', /the quote is not closed/],
  ];
  for (const [source, message] of refused) {
    assert.throws(
      () => parseOptions(source),
      (error) => error instanceof OptionsError && message.test(error.message),
      source,
    );
  }
});

test('each preset is a value its own option takes', () => {
  for (const { name, preset } of optionRows()) {
    if (preset !== '') parseOptions(`${name}="${preset}"`);
  }
});

function ask(source: string, prelude = ''): { status: number | null; stdout: string; stderr: string } {
  const url = new URL('./options.js', import.meta.url).href;
  const code = `${prelude}; import { optionsOfProcess } from '${url}'; console.log(JSON.stringify(optionsOfProcess()))`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
    env: { ...process.env, JSTSAN_OPTIONS: source },
  });
}

test('a process ends before it starts: 2 for an error, 0 for help', () => {
  const wrong = ask('exitcode=1000');
  assert.equal(wrong.status, 2);
  assert.equal(wrong.stderr, 'ThreadSanitizer: JSTSAN_OPTIONS: exitcode=1000: must be an integer from 0 to 255\n');
  assert.equal(wrong.stdout, '');
  const help = ask('help=1');
  assert.equal(help.status, 0);
  for (const { name } of optionRows()) assert.match(help.stdout, new RegExp(`^ {2}${name}$`, 'm'));
});

test('files are looked at before the program starts', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'jstsan-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'suppressions');
  writeFileSync(file, '# mine\nrace:a*\n\nrase:b\n');
  const typo = ask(`suppressions='${file}'`);
  assert.equal(typo.status, 2);
  assert.match(typo.stderr, /:4: 'rase:b': must begin with race: race_top: thread: mutex: own: deadlock:/);
  assert.match(ask(`suppressions='${folder}/none'`).stderr, /suppressions=.*none: ENOENT/);
  assert.match(ask(`log_path='${folder}/none/log'`).stderr, /log_path=.*: must be in a folder that can be written/);
  writeFileSync(file, 'race:a*\n');
  const { suppressions } = JSON.parse(ask(`suppressions='${file}'`).stdout);
  assert.equal(suppressions, file);
});
