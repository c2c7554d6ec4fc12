// Driver: two cores make and end threads in a table of few places, and look at each other's all the time.
import assert from 'node:assert/strict';
import { kitOf, meeting, until } from './two.mjs';

const kit = kitOf(import.meta.url);
const { SharedThreadTable, SLOT_EXITING, SLOT_RUNNING } = await kit('thread/shared-thread-table.js');
const { Cpuset } = await kit('env/cpuset.js');

export const make = () => {
  // One whose ids are used up: as many have been given as there are.
  const spent = new SharedThreadTable(undefined, 4);
  Atomics.store(spent.words, 0, 0x7fff_fffe);
  return { buffer: new SharedThreadTable(undefined, 4).buffer, spent: spent.buffer, gate: new SharedArrayBuffer(4) };
};

export const run = (core, { buffer, spent, gate }) => {
  const table = new SharedThreadTable(buffer);
  // There may be one by now.
  assert(table.appThread >= 0);
  for (let n = 0; n < 40; n++) {
    const id = place(table, core);
    table.setState(id, SLOT_RUNNING);
    table.setBound(id, n % 2 === 0);
    table.setCpumask(id, new Cpuset([core]));
    const critical = table.criticalWord(id);
    assert.equal(Atomics.load(table.words, critical), 0);
    assert.equal(table.core(id), core);
    assert.equal(table.state(id), SLOT_RUNNING);
    for (const other of table.ids()) {
      const facts = table.facts(other);
      if (facts !== null) assert.equal(facts.name, `core_${facts.core}`);
      table.state(other);
      table.core(other);
      Atomics.compareExchange(table.words, table.criticalWord(other), 5, 0);
    }
    table.nextAlive(0);
    table.nextCoreTurn();
    assert(table.count > 0 && table.appThread > 0);
    table.setState(id, SLOT_EXITING);
    table.free(id);
    // By now it may be the other's place.
    assert.throws(() => table.free(id), /is in the table/);
  }
  const meet = meeting(gate);
  meet();
  if (core === 0) for (let n = 0; n < 4; n++) table.allocate('core_0', 0, new Cpuset([0]));
  meet();
  refused(table, core);
  meet();
  refused(new SharedThreadTable(spent), core);
};

/** Nothing else is done meanwhile that would order what the two do. */
function refused(table, core) {
  for (let n = 0; n < 30; n++) {
    assert.throws(() => table.allocate(`core_${core}`, core, new Cpuset([core])), { code: 'ENOSPC' });
    assert(table.count >= 0);
  }
}

/** The other core may have taken all places for a moment. */
function place(table, core) {
  let id = 0;
  until(() => {
    try {
      id = table.allocate(`core_${core}`, core, new Cpuset([core, core + 2]));
    } catch (error) {
      assert.equal(error.code, 'ENOSPC');
    }
    return id !== 0;
  });
  return id;
}
