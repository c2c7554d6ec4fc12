// The loop around a reactor's turns, in a time that the test decides: what ends a slice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../env/clock.ts';
import type { Ring } from '../env/uring.ts';
import type { AppHandle } from './app-handle.ts';
import { type EventLoop, nodeEventLoop } from './event-loop.ts';
import { createFabric } from './fabric.ts';
import { Reactor } from './reactor.ts';
import { ReactorLoop } from './reactor-loop.ts';

/** A reactor whose time passes as its test lets it. */
function oneReactor(): { reactor: Reactor; clock: Clock } {
  const clock: Clock = {
    nowUs: 1000,
    tick() {},
    read() {
      return this.nowUs;
    },
  };
  const fabric = createFabric({ cores: [0], mainCore: 0, mailboxEvents: 64, heapBytes: 1 << 20 });
  const app: AppHandle = {
    mainCore: 0,
    stop: () => {},
    call: () => Promise.reject(new Error('no control calls here')),
  };
  const onFault = (error: unknown) => assert.fail(error as Error);
  return { reactor: new Reactor({ fabric, core: 0, clock, app, onFault }), clock };
}

/** What `slices` slices of a reactor do whose turns take 10 µs each, and of which those that `promise` names call what answers by promise. */
async function story(slices: number, promise: (turn: number) => boolean): Promise<string[]> {
  const { reactor, clock } = oneReactor();
  const told: string[] = [];
  let turns = 0;
  reactor.addPollable({
    name: 'test',
    nextPollUs: () => clock.nowUs,
    poll() {
      clock.nowUs += 10;
      told.push(`turn ${++turns}`);
      if (!promise(turns)) return 1;
      reactor.promised = true;
      void Promise.resolve(turns).then((turn) => told.push(`answer to ${turn}`));
      return 1;
    },
  });
  let done = () => {};
  const over = new Promise<void>((resolve) => {
    done = resolve;
  });
  const events: EventLoop = {
    ...nodeEventLoop,
    setImmediate: (slice) =>
      nodeEventLoop.setImmediate(() => {
        if (slices-- === 0) done();
        else slice();
      }),
  };
  const loop = new ReactorLoop(reactor, { mode: 'poll', nativeDoorbell: false }, events);
  loop.start();
  await over;
  loop.stop();
  return told;
}

/** A reactor for which a device works, one I/O at a time, each of which takes 200 µs: what part of 100 waits it sleeps, and how many of them it is late for. */
async function device(): Promise<{ slept: number; late: number }> {
  let [comes, ios, slept, late, began] = [1200, 0, 0, 0, 0];
  let done = () => {};
  const over = new Promise<void>((resolve) => {
    done = resolve;
  });
  const { reactor, clock } = oneReactor();
  reactor.addPollable({
    name: 'device',
    nextPollUs: () => Number.POSITIVE_INFINITY,
    poll() {
      clock.nowUs++;
      if (clock.nowUs < comes) return 0;
      if (++ios === 100) [slept, late, began] = [0, 0, clock.nowUs];
      if (ios === 200) done();
      if (clock.nowUs > comes + 2) late++;
      comes = clock.nowUs + 200;
      return 1;
    },
  });
  const ring = {
    queued: 0,
    canNap: true,
    nap(us: number) {
      const to = Math.max(clock.nowUs, Math.min(clock.nowUs + us, comes)) + 20;
      slept += to - clock.nowUs;
      clock.nowUs = to;
      return true;
    },
  };
  reactor.ring = ring as unknown as Ring;
  reactor.awaited = 1;
  const loop = new ReactorLoop(reactor, { mode: 'adaptive', nativeDoorbell: false });
  loop.start();
  await over;
  const share = slept / (clock.nowUs - began);
  loop.stop();
  return { slept: share, late };
}

test('a slice is 50 µs of turns', async () => {
  const turns = (await story(2, () => false)).length;
  assert.equal(turns, 10);
});

test('a turn that calls what answers by promise is the slice’s last: the answer comes before the next turn', async () => {
  const told = await story(3, (turn) => turn === 1 || turn === 4);
  const between = ['turn 2', 'turn 3', 'turn 4', 'answer to 4'];
  const whole = ['turn 5', 'turn 6', 'turn 7', 'turn 8', 'turn 9'];
  assert.deepEqual(told, ['turn 1', 'answer to 1', ...between, ...whole]);
});

test('while a device works, a core sleeps for the most part and is there when it has done', async () => {
  const { slept, late } = await device();
  assert.ok(slept > 0.6, `${slept} slept`);
  assert.ok(late <= 2, `late for ${late} of 100`);
});
