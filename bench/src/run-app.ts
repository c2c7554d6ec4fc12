// An application for the length of one measurement: starts, measures, stops, and fails when the stop was not clean.

import { App, type AppOptions, allowedCores } from 'tspdk';

/** The first `count` cores this process may use. @throws when there are fewer */
export function cores(count: number): number[] {
  const allowed = allowedCores();
  if (allowed.length < count) throw new Error(`${count} cores are needed, this process may use ${allowed.length}`);
  return allowed.slice(0, count);
}

/** Runs `body` in an application of its own and gives its result. */
export async function measureIn<T>(options: AppOptions, body: (app: App) => Promise<T>): Promise<T> {
  let result: { readonly value: T } | undefined;
  const rc = await App.start({ signals: false, ...options }, async (app) => {
    result = { value: await body(app) };
    app.stop(0);
  });
  if (rc !== 0 || result === undefined) throw new Error(`the application ended with code ${rc}`);
  return result.value;
}

/** Resolves after `ms`; the reactors go on. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
