// TypeScript that tsx compiles as it is loaded: checked, and places are those of the .ts file, whichever of the two preloads comes first.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Finished, registerUrl, runNode } from './program.fixture.ts';

const tsx = ['--import', import.meta.resolve('tsx')];
const tsan = ['--import', registerUrl];
const orders = { 'tsx first': [...tsx, ...tsan], 'tsx last': [...tsan, ...tsx] };

/** An enum, which Node's own stripping of types refuses; and lines that tsx makes one of. */
const counting = `
interface Hits {
  readonly words: Int32Array;
}

/* not for Node */ enum Which {
  first = 0,
}

function count({ words }: Hits): void {
  words[Which.first]++;
}
`;
const creating = `
const words: Int32Array = new Int32Array(new SharedArrayBuffer(4));
`;

function places({ stderr }: Finished, file: string): string[] {
  return [...stderr.matchAll(new RegExp(`#\\d+ (.*) \\S*${file.replace('.', '\\.')}:(\\d+:\\d+)$`, 'gm'))].map(
    ([, name, place]) => `${name} ${place}`,
  );
}

for (const [order, preloads] of Object.entries(orders)) {
  test(`a race of the main thread, ${order}`, () => {
    const file = `import { Worker } from 'node:worker_threads';${counting}${creating}
const source: string = "require('node:worker_threads').workerData[0]++";
new Worker(source, { eval: true, workerData: words });
count({ words } satisfies Hits);
`;
    const result = runNode({ 'main.mts': file }, [...preloads, 'main.mts']);
    assert.deepEqual(
      places(result, 'main.mts'),
      ['count 11:3', '<module> 18:1', '<module> 14:42', '<module> 17:1'],
      result.stderr,
    );
    assert.equal(result.code, 66);
  });

  test(`without a race nothing is said, ${order}`, () => {
    const file = `import { Worker } from 'node:worker_threads';${counting}${creating}
new Worker('', { eval: true, workerData: words }).on('exit', () => count({ words }));
`;
    const { code, stdout, stderr } = runNode({ 'main.mts': file }, [...preloads, 'main.mts']);
    assert.deepEqual([code, stdout, stderr], [0, '', '']);
  });

  test(`an error has the place that tsx gives it, ${order}`, () => {
    const file = `${counting}
try {
  count({} as Hits);
} catch (error) {
  console.log((error as Error).stack);
}
`;
    const files = { 'main.mts': file };
    const at = (result: Finished) => /main\.mts:(\d+)/.exec(result.stdout)?.[1];
    assert.equal(at(runNode(files, [...preloads, 'main.mts'])), at(runNode(files, [...tsx, 'main.mts'])));
  });

  // On Node 20 tsx does not reach into workers.
  const isEverywhere = Number(process.versions.node.split('.')[0]) >= 22;
  test(`a race of TypeScript in workers, ${order}`, { skip: !isEverywhere }, () => {
    const file = `import { isMainThread, Worker, workerData } from 'node:worker_threads';${counting}
if (isMainThread) {${creating}
  for (let n = 0; n < 2; n++) new Worker(new URL(import.meta.url), { workerData: { words } satisfies Hits });
} else {
  for (let n: number = 0; n < 100; n++) count(workerData as Hits);
}
`;
    const result = runNode({ 'main.mts': file }, [...preloads, 'main.mts']);
    const found = places(result, 'main.mts');
    assert.deepEqual(
      found.filter((place) => place.startsWith('count')),
      ['count 11:3', 'count 11:3'],
      result.stderr,
    );
    assert.equal(result.code, 66);
  });
}
