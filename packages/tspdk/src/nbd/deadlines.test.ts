// Deadlines against a plain map: whatever is set, moved and removed, the right ones run, and the first time is never too late.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Deadlines, type Due } from './deadlines.ts';

test('those whose time has come run, once, and no deadline is missed', () => {
  const step = fc.oneof(fc.record({ who: fc.nat(39), at: fc.nat(100) }), fc.record({ forward: fc.nat(20) }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const deadlines = new Deadlines();
      const ran: number[] = [];
      const model = new Map<number, number>();
      const dues: Due[] = Array.from({ length: 40 }, (_, i) => ({
        dueUs: 0,
        dueIndex: 0,
        run: () => void ran.push(i),
      }));
      let now = 0;
      for (const each of steps) {
        if ('who' in each) {
          const us = each.at === 0 ? 0 : now + each.at;
          deadlines.set(dues[each.who], us);
          if (us === 0) model.delete(each.who);
          else model.set(each.who, us);
        } else {
          now += each.forward;
          if (deadlines.firstUs > 0 && deadlines.firstUs <= now) deadlines.run(now);
          const due = [...model].filter(([, us]) => us <= now).map(([who]) => who);
          assert.deepEqual(ran.splice(0).sort(), due.sort());
          for (const who of due) model.delete(who);
        }
        assert.equal(deadlines.count, model.size);
        const first = Math.min(...model.values());
        if (model.size === 0) assert.equal(deadlines.firstUs, 0);
        else assert.ok(deadlines.firstUs > 0 && deadlines.firstUs <= first);
      }
    }),
  );
});

test('what runs may set its own deadline again, and that of others', () => {
  const deadlines = new Deadlines();
  const ran: string[] = [];
  const other: Due = { dueUs: 0, dueIndex: 0, run: () => void ran.push('other') };
  const again: Due = {
    dueUs: 0,
    dueIndex: 0,
    run: () => {
      ran.push('again');
      deadlines.set(again, 20);
      deadlines.set(other, 15);
    },
  };
  deadlines.set(again, 10);
  assert.equal(deadlines.run(10), 1);
  assert.equal(deadlines.firstUs, 15);
  assert.equal(deadlines.run(15), 1);
  assert.deepEqual(ran, ['again', 'other']);
  assert.equal(deadlines.firstUs, 20);
});
