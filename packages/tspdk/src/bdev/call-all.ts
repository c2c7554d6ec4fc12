/** Control calls to every core, the app core first; then the others side by side. App core only. */
import type { Control } from '../event/control.ts';
import type { Reactor } from '../event/reactor.ts';

/** Results in order of `reactor.cores`. Waits for all; then throws what one of them threw. */
export async function callAll<P, R>(
  reactor: Reactor,
  control: Control<P, R>,
  payload: P,
  first?: number,
): Promise<R[]> {
  const { app, cores } = reactor;
  const results = new Map<number, R>();
  const lead = first ?? app.mainCore;
  results.set(lead, await app.call(lead, control, payload));
  const settled = await Promise.allSettled(
    cores
      .filter((core) => core !== lead)
      .map(async (core) => {
        results.set(core, await app.call(core, control, payload));
      }),
  );
  for (const result of settled) if (result.status === 'rejected') throw result.reason;
  return cores.map((core) => results.get(core) as R);
}
