/** Events for threads.test.ts, in a module of their own: every reactor loads it, and a test file must not be loaded twice. */
import { defineEvent } from '../env/event-fn.ts';
import {
  currentThread,
  forEachChannelContinue,
  getIoChannel,
  type IoChannel,
  IoDevice,
  iterChannel,
  putIoChannel,
  sendMsg,
  type Thread,
} from '../thread/index.ts';
import { defineControl } from './control.ts';
import { currentReactor, localKey } from './reactor.ts';

/** What the workers load. */
export const fixtureUrl = import.meta.url;

const here = () => currentThread() as Thread;

const state = localKey('test.threads', () => ({
  seen: [] as number[],
  channels: new Map<Thread, IoChannel>(),
  visits: 0,
  /** Whom `critical` tells. */
  home: 0,
}));
const local = () => currentReactor().local(state);

/** Notes `seq` and answers thread `from` with the same. */
export const ping = defineEvent('test.threads.ping', (from, seq) => {
  local().seen.push(seq);
  sendMsg(from, pong, here().id, seq);
});
export const pong = defineEvent('test.threads.pong', (_from, seq) => {
  local().seen.push(seq);
});
export const visit = defineEvent('test.threads.visit', () => {
  local().visits++;
});
export const visitChannel = defineEvent('test.threads.visit_channel', (iter) => {
  if (iterChannel(iter)?.thread === here()) local().visits++;
  forEachChannelContinue(iter, 0);
});
export const openChannel = defineEvent('test.threads.open', (device) => {
  local().channels.set(here(), getIoChannel(device));
});
export const closeChannel = defineEvent('test.threads.close', () => {
  putIoChannel(local().channels.get(here()) as IoChannel);
});
/** Three calls of a timed poller, each told to thread `to`; the core sleeps in between. */
export const startTimer = defineEvent('test.threads.timer', (to) => {
  local().home = to;
  let left = 3;
  const poller = here().registerPoller({
    periodUs: 3000,
    fn: () => {
      sendMsg(to, pong, 0, left);
      if (--left === 0) poller.unregister();
      return 1;
    },
  });
});

/** Tells the thread that started the timer. */
export const critical = defineEvent('test.threads.critical', () => sendMsg(local().home, pong, 0, 99));

export const takeSeen = defineControl('test.threads.seen', (_: null, reactor) => reactor.local(state).seen.splice(0));
export const takeVisits = defineControl('test.threads.visits', (_: null, reactor) => {
  const { visits } = reactor.local(state);
  reactor.local(state).visits = 0;
  return visits;
});
export const registerDevice = defineControl('test.threads.register', (id: number, reactor) => {
  IoDevice.register(reactor, { id, create: () => 0, destroy: () => {} });
});
export const unregisterDevice = defineControl(
  'test.threads.unregister',
  (id: number, reactor) => new Promise<void>((done) => IoDevice.find(reactor, id)?.unregister(done)),
);
