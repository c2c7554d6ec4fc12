// Is everything rewritten that a program can load, in every kind of thread, and does the program run as if it were not?

import assert from 'node:assert/strict';
import { test } from 'node:test';
import MagicString from 'magic-string';
import { type Finished, registerPath, registerUrl, runChecked, runNode } from './program.fixture.ts';

const probe = `const probe = (a, i) => a[i]; const isRewritten = () => String(probe).includes('__jstsan');`;

function prints(result: Finished, expected: string): void {
  assert.equal(result.stderr, '');
  assert.equal(result.stdout.trim(), expected);
  assert.equal(result.code, 0);
}

test('modules and CommonJS, each loaded by the other', () => {
  const files = {
    'a.mjs': `import { b } from './b.cjs'; import c from './c.cjs'; ${probe} console.log(isRewritten(), b(), c(), (await import('./d.mjs')).d());`,
    'b.cjs': `${probe} exports.b = isRewritten;`,
    'c.cjs': `"use strict"; module.exports = () => [require('./e.cjs')(), this === undefined, __filename.endsWith('c.cjs')].join();`,
    'd.mjs': `${probe} export const d = isRewritten; export default import.meta.url;`,
    'e.cjs': `#!/usr/bin/env node\n${probe} module.exports = isRewritten; return;`,
  };
  prints(runChecked(files, 'a.mjs'), 'true true true,false,true true');
  prints(runChecked({ ...files, 'main.cjs': `import('./a.mjs')` }, 'main.cjs'), 'true true true,false,true true');
});

const report = `postMessage(String(isRewritten()) + ' ' + JSON.stringify(workerData))`;
const worker = (make: string) => `
  import { Worker } from 'node:worker_threads';
  const worker = ${make};
  worker.on('message', (x) => console.log(x)).on('error', (e) => console.log('error', e.message));`;
const inModule = `import { parentPort, workerData } from 'node:worker_threads'; ${probe} parentPort.${report};`;
const inScript = `const { parentPort, workerData } = require('node:worker_threads'); ${probe} parentPort.${report};`;

const workers: Record<string, [make: string, files?: Record<string, string>]> = {
  file: [`new Worker(new URL('./w.mjs', import.meta.url), { workerData: 5 })`, { 'w.mjs': inModule }],
  CommonJS: [`new Worker(new URL('./w.cjs', import.meta.url), { workerData: 5 })`, { 'w.cjs': inScript }],
  'execArgv: []': [
    `new Worker(new URL('./w.mjs', import.meta.url), { workerData: 5, execArgv: [] })`,
    { 'w.mjs': inModule },
  ],
  'env: {}': [`new Worker(new URL('./w.mjs', import.meta.url), { workerData: 5, env: {} })`, { 'w.mjs': inModule }],
  eval: [`new Worker(${JSON.stringify(inScript)}, { eval: true, workerData: 5 })`],
  'eval in strict mode': [
    `new Worker(${JSON.stringify(`'use strict'; ${inScript}`)}, { eval: true, workerData: 5, execArgv: [] })`,
  ],
  'data URL': [
    `new Worker(new URL(${JSON.stringify(`data:text/javascript,${encodeURIComponent(inModule)}`)}), { workerData: 5 })`,
  ],
};

for (const [kind, [make, files]] of Object.entries(workers)) {
  test(`worker: ${kind}`, () => prints(runChecked({ ...files, 'main.mjs': worker(make) }, 'main.mjs'), 'true 5'));
}

test('a worker of a worker', () => {
  const files = {
    'main.mjs': worker(`new Worker(new URL('./middle.mjs', import.meta.url), { execArgv: [] })`),
    'middle.mjs': `import { parentPort } from 'node:worker_threads'; ${worker(`new Worker(new URL('./w.mjs', import.meta.url), { workerData: 5, execArgv: [] })`)}
      worker.on('message', (x) => parentPort.postMessage('middle ' + x));`,
    'w.mjs': inModule,
  };
  const { stdout, stderr } = runChecked(files, 'main.mjs');
  assert.equal(stderr, '');
  assert.deepEqual(stdout.trim().split('\n').sort(), ['middle true 5', 'true 5']);
});

test('an error in an eval worker reaches the creator as it was', () => {
  const make = `new Worker('null.x', { eval: true })`;
  prints(runChecked({ 'main.mjs': worker(make) }, 'main.mjs'), "error Cannot read properties of null (reading 'x')");
});

test('a preload given with --require', () => {
  const files = { 'main.mjs': worker(workers.file[0]), ...workers.file[1] };
  const major = Number(process.versions.node.split('.')[0]);
  if (major >= 20) prints(runNode(files, ['--require', registerPath, 'main.mjs']), 'true 5');
});

test('a preload by its path, beside a flag that workers refuse in a list of their own', () => {
  const files = { 'main.mjs': worker(workers.file[0]), ...workers.file[1] };
  prints(runNode(files, ['--max-old-space-size=300', '--import', registerPath, 'main.mjs']), 'true 5');
});

test('a file that does not parse runs unchanged, and that is said once', () => {
  const files = {
    'main.cjs': `const Module = require('module'); for (const i of [1, 2]) { delete require.cache[require.resolve('./bad.cjs')]; try { require('./bad.cjs') } catch (e) { console.log(e.name) } }`,
    'bad.cjs': 'let x = ;',
  };
  const { stdout, stderr } = runChecked(files, 'main.cjs');
  assert.equal(stdout, 'SyntaxError\nSyntaxError\n');
  assert.match(stderr, /^ThreadSanitizer: \S*bad\.cjs is not checked: .*\n$/);
});

test('excluded files are left alone', () => {
  const files = {
    'main.mjs': `import './not-this.mjs'; ${probe} console.log(isRewritten());`,
    'not-this.mjs': `${probe} console.log(isRewritten());`,
  };
  prints(runChecked(files, 'main.mjs', { JSTSAN_OPTIONS: 'exclude=not-this' }), 'false\ntrue');
});

test('lines of stacks are those of the source, with and without source maps', () => {
  const files = {
    'main.mjs': `function f(a) {\n  return a.b[0]\n    .c.d;\n}\ntry { f({ b: [{}] }) } catch (e) { console.log(e.stack.split('\\n')[1].replace(/.*main/, 'main')) }`,
  };
  assert.match(runChecked(files, 'main.mjs').stdout, /^main\.mjs:3:\d+\)\n$/);
  const mapped = runNode(files, ['--enable-source-maps', '--import', registerUrl, 'main.mjs']);
  assert.match(mapped.stdout, /^main\.mjs:3:\d+\)\n$/);
});

test('new text of functions still runs', () => {
  const files = {
    'main.mjs': worker(
      `new Worker('(' + body + ')(require("node:worker_threads"))', { eval: true, workerData: new Int32Array([7]) })`,
    ).replace(
      'const worker',
      'function body({ parentPort, workerData }) { const at = (x, i = x[0] - 7) => x[i]; parentPort.postMessage(at(workerData) + workerData?.[0]); }\nconst worker',
    ),
  };
  prints(runChecked(files, 'main.mjs'), '14');
});

const [major, minor] = process.versions.node.split('.').map(Number);
const stripsTypes = major > 22 || (major === 22 && minor >= 18);

test('TypeScript, as Node strips it', { skip: stripsTypes ? false : 'this Node runs no TypeScript' }, () => {
  const files = {
    'main.ts': `import { b } from './b.cts'; import type { X } from './x.ts';\n${probe.replace('(a, i)', '(a: number[], i: number): number')} console.log(isRewritten(), b());`,
    'b.cts': `${probe.replace('(a, i)', '(a: number[], i: number): number')} exports.b = isRewritten as () => boolean;`,
  };
  const { stdout, stderr } = runChecked(files, 'main.ts');
  assert.equal(stdout, 'true true\n');
  assert.doesNotMatch(stderr, /is not checked/);
});

test('a report names the lines of the source that a compiler has seen', () => {
  const original = 'type View = Int32Array;\n\nexport function bump(view: View): void {\n  view[0] += 1;\n}\n';
  const compiled = 'export function bump(view) {\n  view[0] += 1;\n}\n';
  const magic = new MagicString(original);
  magic.remove(0, original.indexOf('export'));
  magic.remove(original.indexOf(': View'), original.indexOf(': View') + 6);
  magic.remove(original.indexOf(': void'), original.indexOf(': void') + 6);
  assert.equal(magic.toString(), compiled);
  const map = magic.generateMap({ source: 'bump.ts', hires: true }).toUrl();
  const files = {
    'bump.ts': original,
    'bump.mjs': `${compiled}//# sourceMappingURL=${map}\n`,
    'main.mjs': `import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'; import { bump } from './bump.mjs';
      if (isMainThread) {
        const v = new Int32Array(new SharedArrayBuffer(64));
        const worker = new Worker(new URL(import.meta.url), { workerData: v });
        worker.once('message', () => { bump(v); });
      } else { parentPort.postMessage('up'); setTimeout(() => bump(workerData), 50); }`,
  };
  const { code, stderr } = runChecked(files, 'main.mjs');
  assert.equal(code, 66);
  assert.match(stderr, /#0 bump \S*bump\.ts:4:3/);
  assert.doesNotMatch(stderr, /bump\.mjs/);
});
