// The SARIF log: what the standard requires, and what GitHub needs to show a result at a line.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frame, race } from './race.fixture.ts';
import { kinds } from './report.ts';
import { sarifOf } from './sarif.ts';

interface Place {
  physicalLocation: {
    artifactLocation: { uri: string; uriBaseId?: string };
    region?: { startLine: number; startColumn: number };
  };
  message?: { text: string };
  id?: number;
}
interface Result {
  ruleId: string;
  ruleIndex: number;
  level: string;
  message: { text: string };
  locations: Place[];
  relatedLocations: Place[];
  stacks: { frames: { location: Place }[] }[];
  partialFingerprints: Record<string, string>;
}
interface Log {
  version: string;
  $schema: string;
  runs: {
    tool: { driver: { name: string; rules: { id: string; shortDescription: { text: string } }[] } };
    results: Result[];
  }[];
}

function logOf(reports = [race], root = '/repo'): Log {
  return JSON.parse(JSON.stringify(sarifOf(reports, root, '1.2.3'))) as Log;
}

test('the log has what SARIF 2.1.0 requires', () => {
  const log = logOf();
  assert.equal(log.version, '2.1.0');
  const [run] = log.runs;
  assert.equal(run!.tool.driver.name, '@tspdk/tsan');
  const ids = run!.tool.driver.rules.map(({ id }) => id);
  assert.equal(new Set(ids).size, kinds.length);
  for (const kind of kinds) {
    const [result] = logOf([{ ...race, kind }]).runs[0]!.results;
    assert.equal(ids[result!.ruleIndex], result!.ruleId, kind);
    assert(['none', 'note', 'warning', 'error'].includes(result!.level));
    assert.notEqual(result!.message.text, '');
    // "uniqueItems" in the schema.
    assert.equal(new Set(result!.stacks.map((each) => JSON.stringify(each))).size, result!.stacks.length);
    assert.equal(new Set(result!.relatedLocations.map(({ id }) => id)).size, result!.relatedLocations.length);
  }
  assert.deepEqual(logOf([]).runs[0]!.results, []);
});

test('a result stands at the line of the race, relative to the repository', () => {
  const [result] = logOf().runs[0]!.results;
  assert.deepEqual(result!.locations[0]!.physicalLocation, {
    artifactLocation: { uri: 'src/ring.mjs', uriBaseId: '%SRCROOT%' },
    region: { startLine: 3, startColumn: 7 },
  });
  assert.match(result!.message.text, /^ThreadSanitizer: data race src\/ring.mjs:3:7 in publish\nplain\/atomic: /);
  const related = result!.relatedLocations.map((each) => each.message!.text);
  assert.deepEqual(related, [
    'Previous atomic read of size 4 by main thread',
    'SharedArrayBuffer of size 64 allocated by main thread',
    'Thread T1 created here',
  ]);
  assert.equal(result!.stacks[0]!.frames.length, 2);
});

test('places outside the repository, and those that are no file, are absolute', () => {
  const at = (file: string) => {
    const report = { ...race, accesses: [{ ...race.accesses[0]!, stack: [frame('f', file, 1)] }] };
    return logOf([report]).runs[0]!.results[0]!.locations[0]!.physicalLocation.artifactLocation;
  };
  assert.deepEqual(at('/other/a b.mjs'), { uri: 'file:///other/a%20b.mjs' });
  assert.deepEqual(at('/repo/a b/#c.mjs'), { uri: 'a%20b/%23c.mjs', uriBaseId: '%SRCROOT%' });
  assert.deepEqual(at('data:text/javascript,1'), { uri: 'data:text/javascript,1' });
});

test('the fingerprint is that of the race: the same in another checkout and the other way round, not for another line', () => {
  const print = (report = race, root = '/repo') => logOf([report], root).runs[0]!.results[0]!.partialFingerprints;
  const moved = JSON.parse(JSON.stringify(race).replaceAll('/repo/', '/elsewhere/checkout/'));
  assert.deepEqual(print(moved, '/elsewhere/checkout'), print());
  assert.deepEqual(print({ ...race, accesses: [...race.accesses].reverse() }), print());
  const other = JSON.parse(JSON.stringify(race).replace('"line":12', '"line":13'));
  assert.notDeepEqual(print(other), print());
});
