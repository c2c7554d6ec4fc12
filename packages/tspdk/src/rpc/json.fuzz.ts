/**
 * Fuzzes what turns bytes into values: the splitter and the parser, against each other and against JSON.parse.
 *
 * Promises checked: where a stream is cut into pieces makes no difference; well-formed values are all found; the parser takes exactly
 * what JSON.parse takes; nothing throws but what is documented.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { parseJson, stringifyJson } from './json.ts';
import { cut, fuzzDeadlineMs, fuzzRandom, randomValue, spoil } from './json-fixture.sim.ts';
import { JsonSplitter } from './json-splitter.ts';

function split(pieces: readonly Buffer[], maxBytes: number): { texts: string[]; error: string | null } {
  const splitter = new JsonSplitter(maxBytes);
  const texts: string[] = [];
  for (const piece of pieces) {
    splitter.push(piece);
    for (let next = splitter.next(); next !== null; next = splitter.next()) texts.push(next.text);
    assert.ok(splitter.heldBytes <= maxBytes, `${splitter.heldBytes} bytes held`);
  }
  const last = splitter.end();
  if (last !== null) texts.push(last.text);
  return { texts, error: splitter.error };
}

/** What JSON.parse makes of a text, as text again; null when it refuses. */
function builtin(text: string): string | null {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return null;
  }
}
function own(text: string, comments: boolean): string | null {
  try {
    // Digits beyond a double's are the one difference.
    return JSON.stringify(JSON.parse(stringifyJson(parseJson(text, { comments }))));
  } catch (error) {
    assert.ok(error instanceof SpdkError && error.code === 'EINVAL', String(error));
    return null;
  }
}

test('JSON splitter and parser', (t) => {
  const random = fuzzRandom();
  const deadline = fuzzDeadlineMs();
  console.log(`# json fuzz: TSPDK_SEED=${random.seed}`);
  let rounds = 0;
  for (; rounds % 64 !== 0 || performance.now() < deadline; rounds++) {
    const values = Array.from({ length: 1 + random.int(4) }, () => stringifyJson(randomValue(random)));
    const good = Buffer.from(values.join(random.pick([' ', '\n', '\r\n\t '])));
    const found = split(cut(random, good), 1 << 20);
    assert.deepEqual(found, { texts: values, error: null }, `seed ${random.seed}`);

    let bad: Buffer = good;
    for (let times = 1 + random.int(3); times > 0; times--) bad = spoil(random, bad);
    const maxBytes = random.pick([64, 1 << 20]);
    const whole = split([bad], maxBytes);
    assert.deepEqual(split(cut(random, bad), maxBytes), whole, `seed ${random.seed}`);
    for (const text of whole.texts) assert.equal(own(text, false), builtin(text), `seed ${random.seed}: ${text}`);
    const text = bad.toString('latin1');
    const expected = builtin(text);
    assert.equal(own(text, false), expected, `seed ${random.seed}: ${text}`);
    if (expected !== null) assert.equal(own(text, true), expected);
    else own(text, true);
  }
  t.diagnostic(`${rounds} rounds, seed ${random.seed}`);
});
