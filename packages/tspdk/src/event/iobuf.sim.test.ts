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
