// What the sanitizer costs on programs without shared memory: `node dist/bench/unshared.js [NAME ...]` prints, for each, the ratio of the median times
// with and without it, and their geometric mean.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./unshared.fixture.js', import.meta.url));
const register = new URL('../register.js', import.meta.url).href;
const all = [
  'matrix sieve histogram swaps dictionary objects strings smallFunctions recursion arrayMethods collections generators',
  'jsonParser acornParse propertyTests',
].flatMap((line) => line.split(' '));

const rounds = 3;

/** Other work of the machine only ever adds: the best of some medians is the nearest to the truth. */
function bestMs(name: string): { plain: number; checked: number } {
  let [plain, checked] = [Infinity, Infinity];
  for (let round = 0; round < rounds; round++) {
    plain = Math.min(plain, medianMs(name, []));
    checked = Math.min(checked, medianMs(name, ['--import', register]));
  }
  return { plain, checked };
}

function medianMs(name: string, nodeArgs: string[]): number {
  return Number(execFileSync(process.execPath, [...nodeArgs, program, name], { encoding: 'utf8' }));
}

const chosen = process.argv.slice(2);
let logs = 0;
const names = all.filter((name) => chosen.length === 0 || chosen.includes(name));
for (const name of names) {
  const { plain, checked } = bestMs(name);
  logs += Math.log(checked / plain);
  console.log(
    `${name.padEnd(16)} ${plain.toFixed(3).padStart(9)} ms ${checked.toFixed(3).padStart(9)} ms ${(checked / plain).toFixed(2).padStart(6)} x`,
  );
}
console.log(`geometric mean ${Math.exp(logs / names.length).toFixed(3)} x`);
