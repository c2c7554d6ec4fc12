// The house rules that a machine can check, so that no reviewer has to: layers, file heads and sizes, words that mark unfinished work, names of
// machines and places that mean nothing to a stranger.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { test } from 'node:test';
import { filesUnder, root } from './bootstrap.mjs';

/** A folder of packages/tspdk/src imports from folders before it only. */
const layers = [
  'env',
  'log',
  'rpc',
  'thread',
  'event',
  'notify',
  'sock',
  'bdev',
  'module',
  'nbd',
  'perf',
  'conform',
  'app',
];
/** Not layers: the tests' world, which stands in for env and drives all the others. */
const free = ['sim'];
const maxLines = 500;
const source = join(root, 'packages', 'tspdk', 'src');

/** The files of the repository, as git has them (new ones too); without git, all that are not made by a build. */
function repositoryFiles() {
  const git = spawnSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' });
  if (git.status !== 0)
    return filesUnder(root, () => true, ['node_modules', 'dist']).map((path) => relative(root, path));
  return git.stdout.split('\0').filter((path) => path !== '' && existsSync(join(root, path)));
}

const files = repositoryFiles();
const code = files.filter((path) => /\.(ts|mjs)$/.test(path));
const read = (path) => readFileSync(join(root, path), 'utf8');

/** Fails with every finding, so that one run shows all there is to mend. */
function none(findings, rule) {
  assert.equal(findings.length, 0, `${rule}:\n${findings.map((each) => `  ${each}`).join('\n')}`);
}

function lineOf(text, index) {
  return text.slice(0, index).split('\n').length;
}

/** Every match of `pattern` outside this file, as `path:line: text`. */
function matches(paths, pattern) {
  const found = [];
  for (const path of paths) {
    if (path === 'scripts/tidy.test.mjs') continue;
    const text = read(path);
    for (const match of text.matchAll(pattern)) found.push(`${path}:${lineOf(text, match.index)}: ${match[0].trim()}`);
  }
  return found;
}

test('there is code to look at', () => {
  assert(code.length > 10);
});

test('a layer imports only from the layers before it', () => {
  const wrong = [];
  const importing =
    /^\s*(?:import|export)\b[^;]*?\bfrom\s*'(\.[^']+)'|^\s*import\s*'(\.[^']+)'|\bimport\('(\.[^']+)'\)/gm;
  for (const file of filesUnder(source, (path) => path.endsWith('.ts'))) {
    const path = relative(source, file).split(sep).join('/');
    const [folder, ...rest] = path.split('/');
    if (rest.length === 0 || /\.(test|fuzz|sim)\.ts$|\/test-[^/]*\.ts$/.test(path) || free.includes(folder)) continue;
    const level = layers.indexOf(folder);
    if (level === -1) wrong.push(`${path}: '${folder}' is no layer (${layers.join(' ')})`);
    const text = readFileSync(file, 'utf8');
    for (const match of text.matchAll(importing)) {
      const target = relative(source, join(dirname(file), match[1] ?? match[2] ?? match[3])).split(sep)[0];
      // Targets and modules meet in registries only.
      const meeting = folder === 'nbd' && target === 'module';
      if (layers.indexOf(target) > level || free.includes(target) || meeting) {
        wrong.push(`packages/tspdk/src/${path}:${lineOf(text, match.index)}: imports from ${target}/`);
      }
    }
  }
  none(wrong, 'Imports against the order of the layers');
});

test('no file is longer than 500 lines', () => {
  const long = code.map((path) => [path, read(path).split('\n').length - 1]).filter(([, lines]) => lines > maxLines);
  none(
    long.map(([path, lines]) => `${path}: ${lines} lines`),
    'Two nouns in one file, probably',
  );
});

test('every file opens by saying why it exists', () => {
  none(
    code.filter((path) => !/^(#!.*\n)?\s*(\/\/|\/\*)/.test(read(path))),
    'Files that do not open with a comment',
  );
});

test('no any, no default export, no enum, no namespace in TypeScript', () => {
  const typescript = code.filter((path) => path.endsWith('.ts'));
  const withoutComments = /(?<=[:<,|&(]\s*|\bas\s+)\bany\b(?=\s*[;,)>|&=\]}\n]|\[\])/g;
  none(matches(typescript, withoutComments), 'The type any');
  none(matches(typescript, /^\s*(export\s+)?(declare\s+)?(const\s+)?(enum|namespace)\s+\w+/gm), 'Not erasable');
  none(matches(typescript, /@ts-(ignore|nocheck)/g), 'Silenced type errors');
});

test('nothing is left open', () => {
  none(matches(code, /\b(TODO|FIXME|XXX|HACK)\b.*/g), 'Unfinished');
  none(
    matches(
      code.filter((path) => /\.test\./.test(path)),
      /\b(test|it|describe)\.only\(/g,
    ),
    'Tests that hide the others',
  );
});

test('no place of one machine, no registry is named', () => {
  const text = files.filter((path) => !/\.(png|gz|bin)$/.test(path) && path !== 'LICENSE');
  none(matches(text, /registry\.npmjs\.org|registry\.yarnpkg\.com|deb\.debian\.org|proxy\.golang\.org/g), 'A registry');
  none(matches(text, /(?<![\w.])\/(work|root|home\/\w+|Users\/\w+)\/[\w.-]+/g), "Paths of somebody's machine");
  none(
    matches(
      files.filter((path) => path === 'package-lock.json'),
      /"resolved": "http.*/g,
    ),
    'A registry in the lock file',
  );
});

test('what users import says what it is', () => {
  const entries = ['index.ts', 'target.ts', 'perf/index.ts', 'conform/index.ts'];
  const names = new Set();
  for (const entry of entries) {
    for (const [, list] of readFileSync(join(source, entry), 'utf8').matchAll(/^export (?:type )?\{([^}]*)\}/gm)) {
      for (const name of list.split(',')) names.add(name.trim().replace(/^type /, ''));
    }
  }
  names.delete('');
  assert(names.size > 100);
  const declared =
    /(\*\/\n(?:\/\/ biome-ignore.*\n)?)?^export (?:abstract |async )?(?:class|function|interface|const|type) (\w+)/gm;
  const documented = new Set();
  for (const path of code.filter((each) => /^packages\/tspdk\/src\/.*(?<!\.(test|sim|fuzz|fixture))\.ts$/.test(each))) {
    for (const [, doc, name] of read(path).matchAll(declared)) {
      if (doc !== undefined) documented.add(name);
    }
  }
  const bare = [...names].filter((name) => !documented.has(name));
  none(bare, 'Exported to users without a docstring, or not found');
});
