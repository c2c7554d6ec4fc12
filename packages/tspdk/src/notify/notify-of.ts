/** The notifications of an application, kept by its app core's reactor. */
import { localKey, type Reactor } from '../event/reactor.ts';
import { Notify } from './notify.ts';

const key = localKey('notify', () => new Notify());

/** App core only. */
export function notifyOf(reactor: Reactor): Notify {
  return reactor.local(key);
}
