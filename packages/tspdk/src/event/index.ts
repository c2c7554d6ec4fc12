/** What the layers above may use of event/. */
export { App, type StartFn } from './app.ts';
export type { AppHandle } from './app-handle.ts';
export type { AppOptions, AppService } from './app-options.ts';
export { type Control, defineControl } from './control.ts';
export { CallReactor, type ForEachDone, forEachReactor, forEachReactorAsync } from './for-each-reactor.ts';
export type { Pollable } from './pollable.ts';
export { currentReactor, type LocalKey, localKey, Reactor } from './reactor.ts';
export { onReactorLeave } from './reactor-host.ts';
export { type ConfigCall, type Subsystem, sortSubsystems } from './subsystem.ts';
