// Driver: two cores make and end threads in a table of few places, and look at each other's all the time.
import assert from 'node:assert/strict';
import { kitOf, until } from './two.mjs';

const kit = kitOf(import.meta.url);
const { SharedThreadTable, SLOT_EXITING, SLOT_RUNNING } = await kit('thread/shared-thread-table.js');
const { Cpuset } = await kit('env/cpuset.js');

export const make = () => new SharedThreadTable(undefined, 4).buffer;

export const run = (core, buffer) => {
  const table = new SharedThreadTable(buffer);
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
  }
  // One place is missing: the table is full now and then.
  for (let n = 0; n < 20; n++) {
    const ids = [];
    try {
      while (ids.length < 5) ids.push(table.allocate(`core_${core}`, core, new Cpuset([core])));
    } catch (error) {
      assert.equal(error.code, 'ENOSPC');
    }
    for (const id of ids) table.free(id);
  }
};

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
