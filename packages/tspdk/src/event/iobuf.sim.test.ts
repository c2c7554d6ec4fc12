// I/O buffers that several cores fight for: whoever waits is served, in order, and every buffer is back at the end.
import assert from 'node:assert/strict';
import { defineEvent } from '../env/event-fn.ts';
import type { IoBuf, IoBufWaiter } from '../env/iobuf.ts';
import { forEachSeed } from '../sim/for-each-seed.ts';
import type { Sim } from '../sim/simulate.ts';
import { currentReactor, type Reactor } from './reactor.ts';

let holders = 0;
let mostHolders = 0;

/** Gives a buffer back on the core that it was sent to. */
const putHere = defineEvent('test.iobuf.put', (index, large) => {
  const reactor = currentReactor();
  holders--;
  reactor.iobuf.put({ index, large: large === 1 } as IoBuf);
});

/** Someone on one core who takes a buffer again and again, and keeps it for a while. */
class User implements IoBufWaiter {
  readonly #sim: Sim;
  readonly #reactor: Reactor;
  readonly #large: boolean;
  readonly #queue: User[];
  readonly #done: () => void;
  #rounds: number;
  /** Keeps its last buffer until this resolves. */
  readonly #keep: Promise<void> | null;

  constructor(
    sim: Sim,
    reactor: Reactor,
    large: boolean,
    rounds: number,
    queue: User[],
    done: () => void,
    keep: Promise<void> | null,
  ) {
    this.#sim = sim;
    this.#keep = keep;
    this.#reactor = reactor;
    this.#large = large;
    this.#rounds = rounds;
    this.#queue = queue;
    this.#done = done;
  }

  take(): void {
    const { iobuf } = this.#reactor;
    const buf = this.#large ? iobuf.getLarge() : iobuf.getSmall();
    if (buf !== null) {
      this.#hold(buf);
      return;
    }
    if (this.#rounds > 1 && this.#sim.random.chance(0.1)) this.#impatient();
    this.#queue.push(this);
    if (this.#large) iobuf.waitLarge(this);
    else iobuf.waitSmall(this);
  }

  onBuf(buf: IoBuf): void {
    assert.equal(this.#queue.shift(), this, `first come, first served on core ${this.#reactor.core}`);
    this.#hold(buf);
  }

  /** Gives up waiting after a while, and tries again. */
  #impatient(): void {
    this.#sim.at(this.#reactor.core, this.#sim.random.int(300), (reactor) => {
      const at = this.#queue.indexOf(this);
      assert.equal(reactor.iobuf.cancelWait(this), at >= 0);
      if (at < 0) return;
      this.#queue.splice(at, 1);
      this.#next();
    });
  }

  #hold(buf: IoBuf): void {
    const { random } = this.#sim;
    mostHolders = Math.max(mostHolders, ++holders);
    if (this.#keep !== null && this.#rounds === 1) {
      void this.#keep.then(() => {
        holders--;
        this.#reactor.iobuf.put(buf);
      });
      this.#next();
      return;
    }
    if (random.chance(0.3)) {
      // Back at once, in the same call.
      holders--;
      this.#reactor.iobuf.put(buf);
      this.#next();
      return;
    }
    this.#sim.at(this.#reactor.core, random.int(200), (reactor) => {
      if (random.chance(0.3)) reactor.send(random.pick(reactor.cores), putHere, buf.index, buf.large ? 1 : 0, 0);
      else {
        holders--;
        reactor.iobuf.put(buf);
      }
      this.#next();
    });
  }

  #next(): void {
    this.#rounds--;
    if (this.#rounds === 0) this.#done();
    else this.#sim.at(this.#reactor.core, this.#sim.random.int(100), () => this.take());
  }
}

forEachSeed('whoever waits for a buffer gets one, in order on each core, whoever gives it back', 1000, async (sim) => {
  const { random } = sim;
  const cores = random.pick([[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]);
  const count = random.pick([1, 2, 4, 8]);
  const large = random.chance(0.5);
  const iobuf = { smallCount: count, largeCount: count, smallCache: 2, largeCache: 2 };
  holders = 0;
  mostHolders = 0;
  const rc = await sim.start({ cores, iobuf }, async (app) => {
    const users = count + 1 + random.int(8);
    let left = users;
    let letGo: () => void = () => {};
    const keep = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    // All but one buffer may end up with someone who keeps it: then every other waiter depends on that one.
    const keepers = random.chance(0.5) ? count - 1 : 0;
    await new Promise<void>((resolve) => {
      const done = () => {
        if (--left === 0) resolve();
      };
      const queues = new Map<number, User[]>(cores.map((core) => [core, []]));
      for (let i = 0; i < users; i++) {
        const core = random.pick(cores);
        const rounds = 1 + random.int(6);
        sim.at(core, random.int(300), (reactor) => {
          new User(sim, reactor, large, rounds, queues.get(core) as User[], done, i < keepers ? keep : null).take();
        });
      }
    });
    letGo();
    app.stop(0);
  });
  assert.equal(rc, 0, 'a buffer that is not back would make it 1');
  assert.equal(holders, 0);
  assert.ok(mostHolders <= count, `${mostHolders} held of ${count}`);
});

/** A waiter that keeps what it gets, in the core's list. */
class Keeper implements IoBufWaiter {
  readonly held: IoBuf[];
  readonly queue: Keeper[];
  constructor(held: IoBuf[], queue: Keeper[]) {
    this.held = held;
    this.queue = queue;
  }
  onBuf(buf: IoBuf): void {
    assert.equal(this.queue.shift(), this);
    this.held.push(buf);
  }
}

/** What one core holds and waits for. */
interface Share {
  readonly held: IoBuf[];
  readonly queue: Keeper[];
}

/** One random act of one core: take or wait, give back here, give back through another core, stop waiting. */
function act(sim: Sim, reactor: Reactor, share: Share): void {
  const { random } = sim;
  const { iobuf } = reactor;
  const what = random.int(10);
  if (what < 4) {
    const buf = iobuf.getSmall();
    if (buf !== null) share.held.push(buf);
    else {
      const keeper = new Keeper(share.held, share.queue);
      share.queue.push(keeper);
      iobuf.waitSmall(keeper);
    }
  } else if (what < 9 && share.held.length > 0) {
    const [buf] = share.held.splice(random.int(share.held.length), 1);
    if (what === 4) reactor.send(random.pick(reactor.cores), putHere, buf.index, 0, 0);
    else iobuf.put(buf);
  } else if (share.queue.length > 0) {
    const [keeper] = share.queue.splice(random.int(share.queue.length), 1);
    assert.equal(iobuf.cancelWait(keeper), true);
  }
}

forEachSeed(
  'at rest nobody waits while a buffer is free',
  1000,
  async (sim) => {
    const { random } = sim;
    const cores = random.pick([
      [0, 1],
      [0, 1, 2],
      [0, 1, 2, 3],
    ]);
    const count = random.pick([1, 2, 3, 4, 8]);
    const shares = new Map<number, Share>(cores.map((core) => [core, { held: [], queue: [] }]));
    const rc = await sim.start({ cores, iobuf: { smallCount: count, largeCount: 1, smallCache: 2 } }, async (app) => {
      for (let phase = 0; phase < 8; phase++) {
        const span = random.pick([1, 20, 200]);
        for (const core of cores) {
          for (let i = random.int(4); i > 0; i--) {
            const acts = 1 + random.int(6);
            sim.at(core, random.int(span), (reactor) => {
              for (let a = 0; a < acts; a++) act(sim, reactor, shares.get(core) as Share);
            });
          }
        }
        await sim.sleep(100_000);
        const held = [...shares.values()].reduce((sum, share) => sum + share.held.length, 0);
        const waiting = cores.filter((core) => (shares.get(core) as Share).queue.length > 0);
        assert.ok(held <= count);
        if (held < count)
          assert.deepEqual(waiting, [], `in phase ${phase}, ${count - held} of ${count} buffers are free`);
      }
      for (const core of cores) {
        sim.at(core, 0, ({ iobuf }) => {
          const { held, queue } = shares.get(core) as Share;
          for (const keeper of queue.splice(0)) iobuf.cancelWait(keeper);
          for (const buf of held.splice(0)) iobuf.put(buf);
        });
      }
      await sim.sleep(100_000);
      app.stop(0);
    });
    assert.equal(rc, 0);
  },
  { preempt: 0.2 },
);
