// Puts the sanitizer into this thread, before any code of the program: finds out whether this is the main thread or a worker that one of ours has created, takes
// or makes the shared memory, patches what is to be patched, and gives rewritten code its one global, `__jstsan`.

import { syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { installPort } from '../own/port.ts';
import { type Options, optionsOfProcess } from '../report/options.ts';
import { Reporter } from '../report/reporter.ts';
import { patchAsyncIo } from './async-io.ts';
import { AtomicsPatch } from './atomics.ts';
import { tag } from './buffers.ts';
import type { Clock } from './clock.ts';
import { patchCodecs } from './codecs.ts';
import { Control, Header } from './control.ts';
import { patchDataViews } from './data-view.ts';
import { inert, type Jstsan } from './inert.ts';
import { Messages } from './messages.ts';
import { patchBuffers } from './node-buffer.ts';
import { disguise, patchFunctionText } from './patch.ts';
import { delayStart } from './perturb.ts';
import { createTouches } from './ranges.ts';
import { Runtime } from './runtime.ts';
import { addModule, type SiteTable } from './sites.ts';
import { enterMain, noteEnding } from './thread-table.ts';
import { iteratorFor, patchTypedArrays } from './typed-array.ts';
import { patchViews } from './views.ts';
import { patchWasm } from './wasm.ts';
import { clockOf, restoreWorkerData, takeBirth, Workers } from './workers.ts';

export interface Installed {
  readonly control: Control;
  readonly runtime: Runtime;
  readonly options: Options;
  readonly isMain: boolean;
}

let installed: Installed | undefined;

/** Undefined in a thread that the sanitizer cannot take part in: a worker whose creator was not under it. */
export function install(): Installed | undefined {
  if (installed === undefined) installed = isMainThread ? installMain() : installWorker();
  return installed;
}

function installMain(): Installed {
  const options = optionsOfProcess();
  let control: Control;
  let shared: SharedArrayBuffer;
  try {
    control = Control.allocate();
    shared = Reporter.allocate();
    control.header[Header.seed] = seedOf(options);
  } catch (error) {
    stop((error as Error).message);
  }
  const reporter = new Reporter(options, shared, true);
  process.on('exit', () => {
    const code = reporter.finish();
    if (code !== undefined) process.exitCode = code;
  });
  return start(control, enterMain(control), options, reporter, shared);
}

/** The one that is given, or one that is drawn, and printed to run the same again. */
function seedOf(options: Options): number {
  if (options.mode !== 'perturb') return 0;
  const seed = options.seed ?? Math.floor(Math.random() * 2 ** 32);
  if (options.seed === undefined) process.stderr.write(`ThreadSanitizer: mode=perturb:seed=${seed}\n`);
  return seed | 0;
}

function installWorker(): Installed | undefined {
  const birth = takeBirth();
  if (birth === undefined) {
    Object.defineProperty(globalThis, '__jstsan', { value: inert });
    return undefined;
  }
  const clock = clockOf(birth);
  const reporter = new Reporter(birth.options, birth.reporter, false);
  return start(clock.control, clock, birth.options, reporter, birth.reporter, birth);
}

function start(
  control: Control,
  clock: Clock,
  options: Options,
  reporter: Reporter,
  shared: SharedArrayBuffer,
  birth?: NonNullable<ReturnType<typeof takeBirth>>,
): Installed {
  const runtime = new Runtime({ control, clock, options, emit: (report) => reporter.emit(report) });
  const messages = new Messages(runtime);
  patchBuiltIns(runtime);
  if (birth !== undefined) restoreWorkerData(birth, messages);
  messages.install();
  new Workers(runtime, messages, shared, birth?.environment ?? []).install();
  const atomics = new AtomicsPatch(runtime, () => endHanging(reporter, options));
  atomics.install();
  patchWasm(runtime);
  if (birth !== undefined) afterExitListeners(() => endThread(clock, atomics));
  patchFunctionText();
  syncBuiltinESMExports();
  defineGlobal(runtime);
  installPort(runtime);
  if (birth !== undefined && runtime.perturb !== undefined) delayStart(runtime, control.header[Header.seed]!);
  return { control, runtime, options, isMain: birth === undefined };
}

function endThread(clock: Clock, atomics: AtomicsPatch): void {
  atomics.waits.ended();
  // From now on Node may end the workers of this one.
  noteEnding(clock.control, clock.uid);
}

/** The program's own listeners still do things, as waking another thread. */
function afterExitListeners(act: () => void): void {
  const { emit } = process;
  const own = {
    emit(this: object, ...args: unknown[]): boolean {
      try {
        return Reflect.apply(emit, this, args);
      } finally {
        if (args[0] === 'exit') act();
      }
    },
  }.emit;
  Object.defineProperty(process, 'emit', {
    value: disguise(own, emit),
    writable: true,
    enumerable: false,
    configurable: true,
  });
}

function patchBuiltIns(runtime: Runtime): void {
  const touches = createTouches(runtime);
  runtime.buffers.iterator = iteratorFor(runtime);
  patchViews(runtime);
  patchTypedArrays(runtime, touches);
  patchDataViews(touches);
  patchBuffers(runtime, touches);
  patchCodecs(runtime, touches);
  patchAsyncIo(touches);
}

function defineGlobal(runtime: Runtime): void {
  const { check, control } = runtime;
  const value: Jstsan = Object.freeze({
    S: tag,
    r: check.read,
    w: check.write,
    u: check.update,
    k: runtime.site,
    module: (table: SiteTable) => addModule(control, table),
  });
  Object.defineProperty(globalThis, '__jstsan', { value });
}

/** Every thread waits for ever. Only the main thread can end the process with a code, and it may be one that cannot be woken. */
function endHanging(reporter: Reporter, options: Options): never {
  if (isMainThread) process.exit(options.exitcode);
  reporter.finish();
  process.kill(process.pid, 'SIGKILL');
  throw new Error('unreachable');
}

/** Before the program has started. */
function stop(reason: string): never {
  process.stderr.write(`ThreadSanitizer: ${reason}\n`);
  process.exit(1);
}
