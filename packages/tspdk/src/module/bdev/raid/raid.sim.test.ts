// RAID disks on simulated reactors: members are pulled, added, rebuilt and fail while users on every core write and read back, and resets go through.
// Every read gives what was written, nothing fails that another member has, and in the end every good member holds all of it.
import assert from 'node:assert/strict';
import { bdevRegistry } from '../../../bdev/index.ts';
import type { App } from '../../../event/index.ts';
import { forEachSeed } from '../../../sim/for-each-seed.ts';
import type { Sim } from '../../../sim/simulate.ts';
import { bdevSubsystem } from '../index.ts';
import { CONCAT, RAID0, RAID1, RAID5F } from './raid-level.ts';
import { BLOCK, bytesOf, compare, type LoadOptions, raidUnderLoad } from './raid-load.sim.ts';
import { raidRegistry } from './raid-registry.ts';

function raid1Options(sim: Sim, faults: boolean): LoadOptions {
  const { random } = sim;
  return {
    level: RAID1,
    members: 2 + random.int(2),
    superblock: random.chance(0.3),
    unitBlocks: 1 + random.int(4),
    stripSizeKb: 0,
    faults,
    cores: random.pick([[0], [0, 1], [0, 1, 2]]),
    users: 1 + random.int(4),
  };
}

function raid5fOptions(sim: Sim, faults: boolean): LoadOptions {
  const members = 3 + sim.random.int(2);
  const stripSizeKb = sim.random.pick([1, 2]);
  const options = raid1Options(sim, faults);
  return { ...options, level: RAID5F, members, stripSizeKb, unitBlocks: stripSizeKb * 2 * (members - 1) };
}

function stripedOptions(sim: Sim): LoadOptions {
  const { random } = sim;
  const level = random.pick([RAID0, CONCAT]);
  const deleted = random.chance(0.5);
  return { ...raid1Options(sim, false), level, members: 1 + random.int(4), stripSizeKb: random.pick([1, 2]), deleted };
}

async function check(sim: Sim, app: App, options: LoadOptions): Promise<void> {
  const { disk, model } = await raidUnderLoad(sim, app, options);
  const bytes = model.length * BLOCK;
  if (options.deleted === true) {
    assert.deepEqual(raidRegistry(app.reactor).list(), []);
    return;
  }
  compare('R', await bytesOf(app, 'R', 0, bytes), model);
  const good = disk.slots.filter((slot) => slot.good);
  assert.ok(good.length >= disk.least);
  // Parity is looked at by having it stand for each member in turn.
  if (options.level === RAID5F && good.length > disk.least) {
    await bdevRegistry(app.reactor).delete(sim.random.pick(good).name);
    compare('R', await bytesOf(app, 'R', 0, bytes), model);
  }
  for (const slot of options.level === RAID1 ? good : []) {
    compare(slot.name, await bytesOf(app, slot.name, slot.dataOffset * BLOCK, bytes), model);
  }
}

async function run(sim: Sim, options: LoadOptions): Promise<void> {
  let failed: unknown = null;
  const rc = await sim.start({ cores: [...options.cores], subsystems: [bdevSubsystem] }, async (app) => {
    await check(sim, app, options).catch((error: unknown) => {
      failed = error;
    });
    app.stop(0);
  });
  if (failed !== null) throw failed;
  assert.equal(rc, 0);
}

forEachSeed('raid0 and concat under load, ended or with a member pulled', 200, (sim) => run(sim, stripedOptions(sim)));
forEachSeed('raid1 under load, members pulled and added', 250, (sim) => run(sim, raid1Options(sim, false)));
forEachSeed('raid1 under load, members that fail now and then', 250, (sim) => run(sim, raid1Options(sim, true)));
forEachSeed('raid5f under load, members pulled and added', 250, (sim) => run(sim, raid5fOptions(sim, false)));
forEachSeed('raid5f under load, members that fail now and then', 250, (sim) => run(sim, raid5fOptions(sim, true)));
forEachSeed('a raid is deleted under load, while members go, come and fail', 200, (sim) =>
  run(sim, {
    ...(sim.random.chance(0.5) ? raid1Options(sim, true) : raid5fOptions(sim, true)),
    deleted: true,
  }),
);
