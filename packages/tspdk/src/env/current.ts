/**
 * Which reactor and which lightweight thread this isolate is running right now: the kit's one mutable module state.
 *
 * The reactor loop sets `reactor` around a turn, a thread's poll sets `thread`. Layers above give the slots their types
 * (`currentReactor()` in event/, `currentThread()` in thread/), since env/ knows neither. Null outside of both.
 */
export const current: { reactor: unknown; thread: unknown } = { reactor: null, thread: null };
