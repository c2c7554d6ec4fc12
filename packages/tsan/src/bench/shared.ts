// What checking costs where memory is shared: `node dist/bench/shared.js` prints the cost of an access beside that of the same loop under gcc's ThreadSanitizer
// (where there is a gcc), of an Atomics operation with two threads, and the shadow's memory.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./shared.fixture.js', import.meta.url));
const register = new URL('../register.js', import.meta.url).href;

const loop = `
#include <pthread.h>
#include <stdio.h>
#include <time.h>
static int memory[4096];
__attribute__((noinline)) static int accesses(int *view) {
  int sum = 0;
  for (int at = 0; at < 4096; at++) { view[at] = sum; sum += view[4095 - at]; }
  return sum;
}
static void *idle(void *none) { return none; }
int main(void) {
  pthread_t thread;
  pthread_create(&thread, 0, idle, 0);
  double least = 1e9;
  volatile int sink = 0;
  for (int round = 0; round < 7; round++) {
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int turn = 0; turn < 200; turn++) sink += accesses(memory);
    clock_gettime(CLOCK_MONOTONIC, &to);
    double ns = ((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec)) / (200 * 8192.0);
    if (ns < least) least = ns;
  }
  pthread_join(thread, 0);
  printf("%.2f", least);
}`;

function gcc(): number | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'jstsan-'));
  try {
    writeFileSync(join(folder, 'loop.c'), loop);
    const flags = ['-O2', '-fsanitize=thread', join(folder, 'loop.c'), '-o', join(folder, 'loop')];
    if (spawnSync('gcc', flags).status !== 0) return undefined;
    // Without randomised addresses, which its runtime does not always stand.
    const { stdout } = spawnSync('setarch', ['-R', join(folder, 'loop')], { encoding: 'utf8' });
    return Number(stdout) || undefined;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function figure(kind: string): number {
  return Number(execFileSync(process.execPath, ['--import', register, program, kind], { encoding: 'utf8' }));
}

const access = figure('access');
const theirs = gcc();
const compared =
  theirs === undefined ? 'no gcc' : `gcc -fsanitize=thread ${theirs} ns, ${(access / theirs).toFixed(2)} x`;
console.log(`access, same epoch          ${access} ns (${compared})`);
console.log(`Atomics, two threads        ${figure('atomics')} ns`);
console.log(`memory for a shared byte    ${figure('memory')} bytes`);
