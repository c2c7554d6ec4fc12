/** Many windows at once: against a list. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WriteWindows } from './write-windows.ts';

test('windows opened and closed in any order are those that overlap says', () => {
  const step = fc.record({
    close: fc.boolean(),
    start: fc.integer({ min: 0, max: 30 }),
    bytes: fc.integer({ min: 1, max: 8 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const windows = new WriteWindows();
      let open: { start: number; bytes: number }[] = [];
      for (const { close, start, bytes } of steps) {
        if (close) {
          // Of several of one start nobody says which has ended: the bytes of the longest stay until all have.
          const alike = open.filter((each) => each.start === start).sort((a, b) => a.bytes - b.bytes);
          const which = alike[0];
          assert.equal(windows.close(start), which !== undefined);
          open = open.filter((each) => each !== which);
        } else {
          windows.open(start, bytes);
          open.push({ start, bytes });
        }
        assert.equal(windows.count, open.length);
        for (let at = 0; at < 40; at++) {
          const expected = open.some((each) => each.start <= at && at < each.start + each.bytes);
          assert.equal(windows.overlap(at, at + 1), expected, `${at}`);
        }
      }
    }),
    { numRuns: 300 },
  );
});
