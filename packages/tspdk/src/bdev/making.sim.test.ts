// Disks that are made, removed and made again at any moment, on each other, by cores that know nothing of each other: what is refused says why, and the application ends without a leak.
import assert from 'node:assert/strict';
import { bdevSubsystem } from '../module/bdev/index.ts';
import { forEachSeed } from '../sim/for-each-seed.ts';
import '../sim/sim-disk.ts';
import { BdevDesc } from './desc.ts';
import { bdevRegistry } from './registry.ts';

forEachSeed(
  'disks that are made, opened, removed and made again, on each other, until the application stops',
  200,
  async (sim) => {
    const { random } = sim;
    const cores = random.pick([[0], [0, 1], [0, 1, 2]]);
    const names = ['A', 'B', 'C'];
    const rc = await sim.start({ cores, subsystems: [bdevSubsystem] }, async (app) => {
      const registry = bdevRegistry(app.reactor);
      const refused = ({ code = '' }: { code?: string }): void =>
        assert.ok(['EEXIST', 'ENODEV', 'EPERM', 'ESHUTDOWN'].includes(code), code);
      const steps = Array.from({ length: 4 + random.int(20) }, () => {
        const name = random.pick(names);
        const act = random.pick(['make', 'make', 'stand', 'remove', 'open']);
        return new Promise<void>((resolve) => {
          sim.at(act === 'open' ? random.pick(cores) : app.mainCore, random.int(200), (reactor) => {
            let done: Promise<unknown> = Promise.resolve();
            if (act === 'make') {
              done = registry.create('sim', { name, blocks: 64, homeCore: random.pick([-1, ...cores]) });
            } else if (act === 'stand') {
              done = registry.create('passthru', { name, base_bdev_name: random.pick(names) });
            } else if (act === 'remove') done = registry.delete(name);
            else {
              try {
                const desc = BdevDesc.open(name, { write: false, reactor, onEvent: () => desc.close() });
                sim.at(reactor.core, random.int(100), () => desc.close());
              } catch (error) {
                refused(error as { code?: string });
              }
            }
            done.catch(refused).then(() => resolve(), assert.fail);
          });
        });
      });
      // Some of them come too late.
      if (random.chance(0.5)) await Promise.all(steps);
      else await sim.sleep(random.int(200));
      app.stop(0);
    });
    assert.equal(rc, 0);
    assert.deepEqual(
      sim.logs.filter(({ level }) => level === 'ERROR').map(({ text }) => text),
      [],
    );
  },
);
