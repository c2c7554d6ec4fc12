// The same loop in C under gcc's ThreadSanitizer: the peer of a checked access. Two accesses a turn, as in shared.fixture.ts.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const source = `
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

/** A way to run it, which gives ns per access; or why there is none. */
export type GccLoop = { readonly run: () => number } | { readonly missing: string };

/** Compiles it in `dir`. */
export function buildGccLoop(dir: string): GccLoop {
  const program = join(dir, 'loop');
  writeFileSync(`${program}.c`, source);
  const built = spawnSync('gcc', ['-O2', '-fsanitize=thread', `${program}.c`, '-o', program], { encoding: 'utf8' });
  if (built.error !== undefined) return { missing: 'there is no gcc' };
  if (built.status !== 0) return { missing: `gcc -fsanitize=thread: ${built.stderr.trim().split('\n').at(-1)}` };
  // Its runtime does not stand every layout of random addresses.
  const command: [string, string[]] =
    spawnSync('setarch', ['-R', 'true']).status === 0 ? ['setarch', ['-R', program]] : [program, []];
  const once = () => Number(spawnSync(...command, { encoding: 'utf8' }).stdout);
  return once() > 0 ? { run: once } : { missing: "gcc's ThreadSanitizer does not run here" };
}
