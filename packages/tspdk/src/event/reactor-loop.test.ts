// The loop around a reactor's turns, in a time that the test decides: what ends a slice.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../env/clock.ts';
import type { AppHandle } from './app-handle.ts';
import { type EventLoop, nodeEventLoop } from './event-loop.ts';
import { createFabric } from './fabric.ts';
import { Reactor } from './reactor.ts';
import { ReactorLoop } from './reactor-loop.ts';

/** What `slices` slices of a reactor do whose turns take 10 µs each, and of which those that `promise` names call what answers by promise. */
async function story(slices: number, promise: (turn: number) => boolean): Promise<string[]> {
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
  const reactor = new Reactor({ fabric, core: 0, clock, app, onFault });
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
