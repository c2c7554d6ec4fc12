// Driver: two threads give the same names numbers, and read each other's. Who finds the table locked sleeps until it is notified.
import assert from 'node:assert/strict';
import { kitOf, withoutWakingBySelf } from './two.mjs';

const kit = kitOf(import.meta.url);
const { SharedNames } = await kit('env/shared-names.js');

export const make = () => new SharedNames('driver', 64, 28).buffer;

export const run = (core, buffer) => {
  const names = new SharedNames('driver', 64, 28, buffer);
  for (let n = 0; n < 30; n++) {
    const name = `name_${n}`;
    const id = withoutWakingBySelf(() => names.intern(name));
    assert.equal(names.name(id), name);
    const newest = names.name(names.count - 1);
    assert.match(newest, /^(name|own)_\d+/);
    if (n % 5 === core) withoutWakingBySelf(() => names.intern(`own_${core}${n}`));
  }
};
