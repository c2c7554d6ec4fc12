// What goes wrong around an application's life, under many schedules: threads that fail or die, errors in handlers, threads made
// while the stop comes, blocks that closers send home.
import assert from 'node:assert/strict';
import { AllocSite } from '../env/alloc-site.ts';
import { Cpuset } from '../env/cpuset.ts';
import { SpdkError } from '../env/errors.ts';
import { defineEvent } from '../env/event-fn.ts';
import { limits } from '../env/limits.ts';
import { forEachSeed } from '../sim/for-each-seed.ts';
import { Thread } from '../thread/index.ts';
import { fixtureUrl, throwHere, visit } from './app.fixture.ts';
import { reactorState } from './fabric.ts';
import { forEachReactor } from './for-each-reactor.ts';
import { currentReactor, localKey, type Reactor } from './reactor.ts';
import { onReactorLeave } from './reactor-host.ts';

const errors = (sim: { logs: readonly { level: string; text: string }[] }) =>
  sim.logs.filter((record) => record.level === 'ERROR').map((record) => record.text);

/** An iteration, if the application still takes one. */
function visitAll(reactor: Reactor): void {
  try {
    forEachReactor(reactor, visit, 0, 0, () => {});
  } catch (error) {
    assert.equal((error as SpdkError).code, 'ESHUTDOWN');
  }
}

forEachSeed('a thread that fails to start fails the application; the others leave', 300, async (sim) => {
  const { random } = sim;
  const cores = [0, 1, 2, 3];
  const failing = cores.slice(1).filter(() => random.chance(0.4));
  const run = sim.start({ cores, launchFaults: { failing } }, (app) => app.stop(0));
  if (failing.length === 0) assert.equal(await run, 0);
  else await assert.rejects(run, /failed on purpose/);
});

forEachSeed('a thread that dies stops the application with code 1, whatever was under way', 300, async (sim) => {
  const { random } = sim;
  const cores = random.pick([
    [0, 1],
    [0, 1, 2, 3],
  ]);
  const victim = random.pick(cores.slice(1));
  const began = sim.nowUs;
  const rc = await sim.start({ cores, modules: [fixtureUrl] }, (app) => {
    for (const core of cores) {
      sim.at(core, random.int(300), (reactor) => {
        for (let i = random.int(5); i > 0; i--) visitAll(reactor);
      });
    }
    Thread.create(app.reactor, { cpumask: new Cpuset([victim]) });
    sim.at(cores[0], random.int(300), () => sim.platform.kill(victim));
  });
  assert.equal(rc, 1);
  assert.match(errors(sim)[0], new RegExp(`reactor ${victim}: .*its simulated thread ended`));
  assert.ok(sim.nowUs - began < limits.stop_grace_ms * 1000, 'what a dead core had is not waited for without end');
});

forEachSeed('an error in an event stops the application with code 1; the turn goes on', 300, async (sim) => {
  const { random } = sim;
  const cores = [0, 1, 2];
  let completed = 0;
  const count = 1 + random.int(5);
  const rc = await sim.start({ cores, modules: [fixtureUrl] }, (app) => {
    for (let i = 0; i < count; i++)
      forEachReactor(app.reactor, random.pick([visit, throwHere]), 0, 0, () => completed++);
    forEachReactor(app.reactor, throwHere, 0, 0, () => completed++);
  });
  assert.equal(rc, 1);
  assert.equal(completed, count + 1);
  assert.match(errors(sim)[0], /event "event.for_each_reactor.visit" on core \d: .*thrown on purpose/);
});

forEachSeed('threads that are made while the stop comes exit too', 500, async (sim) => {
  const { random } = sim;
  const cores = random.pick([[0], [0, 1], [0, 1, 2]]);
  const span = random.pick([1, 100, 1000]);
  const rc = await sim.start({ cores }, () => {
    for (let i = 0; i < 6; i++) {
      sim.at(random.pick(cores), random.int(span), (reactor) => {
        if (reactor.state >= reactorState.exiting || reactor.stopping) return;
        Thread.create(reactor, { cpumask: new Cpuset([random.pick(cores)]) });
      });
    }
    sim.at(random.pick(cores), random.int(span), (reactor) => reactor.app.stop(0));
  });
  assert.equal(rc, 0);
  assert.deepEqual(errors(sim), []);
  assert.ok(sim.nowUs < limits.stop_grace_ms * 1000, 'nobody had to be waited for');
});

const kept = localKey('test.faults.kept', () => [] as number[]);
const site = new AllocSite('test.faults.kept');
const keep = defineEvent('test.faults.keep', (ptr) => {
  currentReactor()
    .local(kept)
    .push(ptr >>> 0);
});

forEachSeed('what closers send home arrives', 300, async (sim) => {
  const { random } = sim;
  const cores = [0, 1, 2, 3];
  const rc = await sim.start({ cores }, async (app) => {
    for (const core of cores) {
      sim.at(core, 0, (reactor) => {
        onReactorLeave(reactor, () => {
          for (const ptr of reactor.local(kept)) reactor.heap.release(ptr);
        });
        for (let i = 0; i < 4; i++) reactor.send(random.pick(cores), keep, reactor.heap.alloc(64, site), 0, 0);
      });
    }
    await sim.sleep(random.int(1000));
    app.stop(0);
  });
  assert.equal(rc, 0, 'a leak would make it 1');
});

forEachSeed('a service that fails to stop does not keep the rest from stopping', 100, async (sim) => {
  const stopped: string[] = [];
  const service = (name: string) => ({
    name,
    stop: async () => {
      await sim.sleep(10);
      stopped.push(name);
      if (name === 'b') throw new SpdkError('EIO', 'fails on purpose');
    },
  });
  const services = ['a', 'b', 'c'].map(service);
  const rc = await sim.start({ cores: [0, 1], services }, (app) => app.stop(0));
  assert.equal(rc, 1);
  assert.deepEqual(stopped, ['c', 'b', 'a']);
  assert.match(errors(sim)[0], /service "b" failed to stop: .*fails on purpose/);
});

forEachSeed(
  'what a core that died leaves waiting is left after its time, and the rest ends in order',
  100,
  async (sim) => {
    const { random } = sim;
    const never = new Promise<void>(() => {});
    const stuck = random.pick(['start', 'stopping', 'shutdown', 'service', 'fini', 'close']);
    const waits = (what: string) => (what === stuck ? never : undefined);
    const ended: string[] = [];
    const part = (name: string) => ({ name, stop: () => void ended.push(name), fini: () => void ended.push(name) });
    const options = {
      cores: [0, 1, 2],
      services: [part('service 0'), { name: 'stuck', stop: () => waits('service') }, part('service 1')],
      subsystems: [
        part('subsystem 0'),
        { name: 'stuck', stopping: () => waits('stopping'), fini: () => waits('fini') },
        part('subsystem 1'),
      ],
      shutdownFn: () => waits('shutdown'),
    };
    const run = sim.start(options, async (app) => {
      onReactorLeave(app.reactor, () => waits('close'));
      // Before the stop has come to it, or while it waits.
      sim.at(0, random.int(300), () => sim.platform.kill(1));
      if (random.chance(0.5)) app.stop(0);
      await waits('start');
    });
    const left = /has not ended in \d+ ms, and core 1 has died/;
    if (stuck === 'start') await assert.rejects(run, left);
    else {
      assert.equal(await run, 1, `${stuck} was stuck`);
      assert.match(errors(sim).join('\n'), left);
    }
    assert.deepEqual(ended, ['service 1', 'service 0', 'subsystem 1', 'subsystem 0'], `${stuck} was stuck`);
  },
);
