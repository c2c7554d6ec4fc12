// The end of an application under many schedules: from any core, at any moment, more than once, in the middle of everything.
import assert from 'node:assert/strict';
import type { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import { forEachSeed } from '../sim/for-each-seed.ts';
import type { Sim } from '../sim/simulate.ts';
import { fixtureUrl, visit } from './app.fixture.ts';
import { reactorState } from './fabric.ts';
import { forEachReactor } from './for-each-reactor.ts';
import { currentReactor, type Reactor } from './reactor.ts';
import type { Subsystem } from './subsystem.ts';

let ran = 0;
/** Sends itself on, `hops` times, and must never run on a core that has left. */
const wander = defineEvent('test.stop.wander', (hops, seed) => {
  const reactor = currentReactor();
  assert.ok(reactor.state === reactorState.running, `an event ran on core ${reactor.core} in state ${reactor.state}`);
  ran++;
  const to = (Math.imul(hops * 64 + seed, 0x9e3779b1) >>> 24) % reactor.cores.length;
  if (hops > 0) reactor.send(reactor.cores[to], wander, hops - 1, seed, 0);
});

/** Starts iterations and wandering events on a core, at a moment. Iterations that are refused must be so because of the stop. */
function load(sim: Sim, core: number, us: number, tally: { started: number; completed: number; events: number }): void {
  const [iterations, hops] = [sim.random.int(6), sim.random.int(sim.random.pick([3, 10, 100]))];
  sim.at(core, us, (reactor) => {
    if (reactor.state >= reactorState.exiting) return;
    for (let i = 0; i < iterations; i++) {
      const stopping = reactor.stopping;
      try {
        forEachReactor(reactor, visit, i, 0, () => {
          assert.equal(currentReactor(), reactor);
          tally.completed++;
        });
        assert.equal(stopping, false, 'once the application is stopping, no iteration starts');
        tally.started++;
      } catch (error) {
        assert.equal((error as SpdkError).code, 'ESHUTDOWN');
        assert.equal(reactor.stopping, true);
      }
    }
    if (reactor.stopping) return;
    tally.events += hops + 1;
    reactor.send(reactor.cores[0], wander, hops, core, 0);
  });
}

forEachSeed(
  'stop from any cores at any moment: iterations complete, nothing runs after, nothing leaks',
  1500,
  async (sim) => {
    const { random } = sim;
    const cores = random.pick([[0], [0, 1], [0, 1, 2, 3]]);
    const mainCore = random.pick(cores);
    const tally = { started: 0, completed: 0, events: 0 };
    ran = 0;
    const codes = [random.int(3), 3 + random.int(3)];
    let main: Reactor | null = null;
    const rc = await sim.start({ cores, mainCore, modules: [fixtureUrl] }, (app) => {
      main = app.reactor;
      const span = random.pick([1, 100, 3000]);
      for (const core of cores) for (let i = 0; i < 2; i++) load(sim, core, random.int(span), tally);
      sim.at(random.pick(cores), random.int(span), (reactor) => reactor.app.stop(codes[0]));
      if (random.chance(0.5)) {
        sim.at(random.pick(cores), random.int(span), (reactor) => {
          if (reactor.state < reactorState.exiting) reactor.app.stop(codes[1]);
        });
      }
    });
    assert.ok(codes.includes(rc), `exit code ${rc}; a leak or a busy core would make it 1`);
    assert.equal(tally.completed, tally.started);
    assert.equal(ran, tally.events, 'an event that was sent before the stop runs');
    const reactor = main as unknown as Reactor;
    for (const core of cores) {
      if (core !== mainCore) assert.throws(() => reactor.send(core, wander, 0, 0, 0), { code: 'ESHUTDOWN' });
    }
    await sim.sleep(10_000);
    assert.equal(ran, tally.events);
  },
);

/** Subsystems that write down what happens to them, with delays and failures drawn from the seed. */
function recordingSubsystems(
  sim: Sim,
  story: string[],
  failing: { init: string | null; fini: string | null },
): Subsystem[] {
  const { random } = sim;
  const names = ['a', 'b', 'c', 'd', 'e'].slice(0, 1 + random.int(5));
  return names.map((name, i) => {
    const dependsOn = names.slice(0, i).filter(() => random.chance(0.4));
    const [initUs, finiUs] = [random.int(3) * 200, random.int(3) * 200];
    return {
      name,
      dependsOn,
      async init(app) {
        for (const other of dependsOn) assert.ok(story.includes(`init ${other}`), `${name} needs ${other}`);
        story.push(`begin ${name}`);
        await sim.sleep(initUs);
        if (failing.init === name) throw new Error(`init of ${name} fails on purpose`);
        forEachReactorIfAllowed(app.reactor);
        story.push(`init ${name}`);
      },
      async fini() {
        await sim.sleep(finiUs);
        story.push(`fini ${name}`);
        if (failing.fini === name) throw new Error(`fini of ${name} fails on purpose`);
      },
    } satisfies Subsystem;
  });
}
function forEachReactorIfAllowed(reactor: Reactor): void {
  try {
    forEachReactor(reactor, visit, 0, 0, () => {});
  } catch (error) {
    assert.equal((error as SpdkError).code, 'ESHUTDOWN');
  }
}

forEachSeed('subsystems: in order, backwards, whatever fails and whenever the stop comes', 1000, async (sim) => {
  const { random } = sim;
  const cores = random.pick([[0], [0, 1], [1, 4, 6]]);
  const story: string[] = [];
  const name = () => random.pick(['a', 'b', 'c', 'd', 'e']);
  const failing = { init: random.chance(0.3) ? name() : null, fini: random.chance(0.3) ? name() : null };
  const subsystems = recordingSubsystems(sim, story, failing);
  const stopUs = random.chance(0.5) ? random.int(3000) : null;
  let started = false;
  const run = sim.start({ cores, subsystems, throwOnStartFailure: false }, (app) => {
    started = true;
    story.push('start');
    if (stopUs === null) app.stop(0);
  });
  if (stopUs !== null) stopLater(sim, stopUs);
  const rc = await run;
  const inits = story.filter((line) => line.startsWith('init ')).map((line) => line.slice(5));
  const finis = story.filter((line) => line.startsWith('fini ')).map((line) => line.slice(5));
  assert.deepEqual(finis, [...inits].reverse(), story.join(', '));
  assert.deepEqual(
    inits,
    subsystems.slice(0, inits.length).map((s) => s.name),
    'in order, none left out',
  );
  assert.equal(started, story.includes('start'));
  if (started) assert.equal(inits.length, subsystems.length);
  const initFailed = failing.init !== null && story.includes(`begin ${failing.init}`);
  const finiFailed = failing.fini !== null && finis.includes(failing.fini);
  if (initFailed) assert.equal(started, false);
  if (finiFailed) assert.equal(rc, 1);
  if (!initFailed && !finiFailed) assert.equal(rc, 0);
});

/** Asks for a stop from the app core, whatever the application is doing then. */
function stopLater(sim: Sim, us: number): void {
  const { main } = sim.platform;
  main.after(us, () => main.reactor?.app.stop(0));
}
