// The log's levels, flags and lines. Names with log_test are the behaviours of SPDK's own unit tests.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { Log, type LogOptions, type LogRecord } from './log.ts';
import { stderrSink } from './stderr-sink.ts';

// SPDK's log unit tests: log_test, deprecation, log_ext_test; all apply. (spdk_log_dump has no counterpart yet.)

function capture(options: LogOptions = {}): { log: Log; printed: string[]; stored: string[] } {
  const printed: string[] = [];
  const stored: string[] = [];
  const log = new Log({
    print: (line) => printed.push(line),
    store: (line) => stored.push(line),
    nowMs: () => new Date(2026, 0, 2, 3, 4, 5, 678).getTime() + 0.90625,
    ...options,
  });
  return { log, printed, stored };
}
const einval = (error: unknown) => error instanceof SpdkError && error.code === 'EINVAL';

test('log_test: levels', () => {
  const { log } = capture();
  assert.equal(log.level, 'NOTICE');
  assert.equal(log.printLevel, 'NOTICE');
  log.setLevel('ERROR');
  assert.equal(log.level, 'ERROR');
  assert.equal(log.printLevel, 'NOTICE');
  log.setLevel('warn');
  assert.equal(log.level, 'WARNING');
  log.setPrintLevel('debug');
  assert.equal(log.printLevel, 'DEBUG');
  assert.throws(() => log.setLevel('LOUD'), einval);
  assert.throws(() => log.setPrintLevel(''), einval);
  assert.equal(log.level, 'WARNING');
});

test('log_test: flags, "all", patterns, unknown names', () => {
  const { log } = capture();
  log.register('log');
  log.register('bdev_malloc');
  log.register('bdev_null');
  assert.equal(log.getFlag('log'), false);
  log.setFlag('log');
  assert.equal(log.getFlag('LOG'), true);
  log.clearFlag('Log');
  assert.equal(log.getFlag('log'), false);
  log.setFlag('bdev_*');
  assert.deepEqual(log.getFlags(), { bdev_malloc: true, bdev_null: true, log: false });
  log.clearFlag('bdev_n?ll');
  assert.deepEqual(log.getFlags(), { bdev_malloc: true, bdev_null: false, log: false });
  log.setFlag('all');
  assert.deepEqual(log.getFlags(), { bdev_malloc: true, bdev_null: true, log: true });
  log.clearFlag('ALL');
  assert.deepEqual(log.getFlags(), { bdev_malloc: false, bdev_null: false, log: false });
  assert.throws(() => log.setFlag('nothing'), einval);
  assert.throws(() => log.clearFlag('bdev.null'), einval);
  assert.equal(log.getFlag('nothing'), false);
  assert.equal(log.register('LOG'), log.register('log'));
});

test('thresholds: what is printed and what is stored', () => {
  const { log, printed, stored } = capture();
  const part = log.register('part');
  log.setPrintLevel('WARNING');
  log.setLevel('ERROR');
  part.error('e');
  part.warn('w');
  part.notice('n');
  assert.equal(printed.length, 2);
  assert.deepEqual(stored, ['part: *ERROR*: e\n']);
  log.setPrintLevel('DISABLED');
  part.error('e');
  assert.equal(printed.length, 2);
  assert.equal(stored.length, 2);
});

test('INFO and DEBUG need the flag as well as the level; text that is not written is not built', () => {
  const { log, printed } = capture();
  const part = log.register('part');
  let built = 0;
  const text = () => `built ${++built}`;
  part.info(text);
  part.debug(text);
  log.setPrintLevel('DEBUG');
  part.debug(text);
  assert.equal(built, 0);
  log.setFlag('part');
  part.info(text);
  part.debug(text);
  log.setPrintLevel('NOTICE');
  part.debug(text);
  assert.equal(built, 2);
  assert.match(printed[1], /part: \*DEBUG\*: built 2\n$/);
});

test('the line: time, component, level, text', () => {
  const { log, printed } = capture();
  const part = log.register('reactor');
  part.notice('hello\n');
  assert.equal(printed[0], '[2026-01-02 03:04:05.678906] reactor: *NOTICE*: hello\n');
  log.enableTimestamps(false);
  part.notice('hello');
  assert.equal(printed[1], 'reactor: *NOTICE*: hello\n');
  assert.equal(log.timestamps, false);
});

test('text from a peer cannot forge a record', () => {
  const { log, printed } = capture();
  log.enableTimestamps(false);
  log.register('rpc').error('a\r\n[2026] rpc: *ERROR*: forged\x1b[2J\tb');
  assert.equal(printed[0], 'rpc: *ERROR*: a\\x0d\n    [2026] rpc: *ERROR*: forged\\x1b[2J  b\n');
});

test('log_ext_test: a function of one’s own gets every record until close', () => {
  const { log, printed } = capture();
  const records: LogRecord[] = [];
  const part = log.register('part');
  log.setPrintLevel('DISABLED');
  log.open((record) => records.push(record));
  part.error('one');
  part.warn(() => 'two');
  part.debug('flag not set');
  log.close();
  log.setPrintLevel('NOTICE');
  part.error('three');
  assert.deepEqual(
    records.map(({ level, component, text }) => [level, component, text]),
    [
      ['ERROR', 'part', 'one'],
      ['WARNING', 'part', 'two'],
    ],
  );
  assert.equal(printed.length, 1);
});

test('deprecation: hits, rate limit, what was held back', () => {
  let now = 0;
  const { log, printed } = capture({ nowMs: () => now });
  log.enableTimestamps(false);
  const always = log.registerDeprecation('always', { description: 'thing', removeRelease: 'v2' });
  const limited = log.registerDeprecation('limited', {
    description: 'other',
    removeRelease: 'v3',
    rateLimitSeconds: 10,
  });
  assert.throws(
    () => log.registerDeprecation('always', { description: '', removeRelease: '' }),
    (error) => error instanceof SpdkError && error.code === 'EEXIST',
  );
  always.hit();
  always.hit();
  assert.deepEqual(
    printed,
    Array(2).fill('deprecated: *WARNING*: always: thing is deprecated and will be removed in v2\n'),
  );
  printed.length = 0;
  limited.hit();
  now = 9_999;
  limited.hit();
  limited.hit();
  assert.equal(printed.length, 1);
  now = 10_000;
  limited.hit();
  assert.equal(printed.length, 3);
  assert.match(printed[2], /limited: 2 such messages were not shown/);
  now = 20_000;
  limited.hit();
  assert.equal(printed.length, 4);
  assert.deepEqual(
    log.deprecations().map((deprecation) => [deprecation.tag, deprecation.hits]),
    [
      ['always', 2],
      ['limited', 5],
    ],
  );
});

test('another isolate takes over thresholds and flags, also of components that come later', () => {
  const { log } = capture();
  const other = capture().log;
  log.register('a');
  log.register('b');
  other.register('a');
  let config: ReturnType<Log['config']> | null = null;
  log.onChange = (changed) => {
    config = changed;
  };
  log.setPrintLevel('INFO');
  log.setFlag('all');
  log.enableTimestamps(false);
  assert.notEqual(config, null);
  other.apply(structuredClone(config!));
  assert.equal(other.printLevel, 'INFO');
  assert.equal(other.timestamps, false);
  assert.equal(other.getFlag('a'), true);
  assert.equal(other.register('b').enabled, true);
});

test('the stderr sink: part of a line is continued, EAGAIN waits, loss is told', () => {
  const chunks: string[] = [];
  let full = 0;
  const write = (_fd: number, data: Uint8Array, offset: number, length: number): number => {
    if (full > 0) {
      full--;
      throw Object.assign(new Error('full'), { code: 'EAGAIN' });
    }
    const bytes = Math.min(length, 10);
    chunks.push(Buffer.from(data.subarray(offset, offset + bytes)).toString());
    return bytes;
  };
  const sink = stderrSink({ write, patienceMs: 3 });
  full = 2;
  sink('0123456789abcdef\n');
  assert.deepEqual(chunks, ['0123456789', 'abcdef\n']);
  chunks.length = 0;
  full = 4;
  sink('lost\n');
  assert.deepEqual(chunks, []);
  full = 0;
  sink('next\n');
  assert.match(chunks.join(''), /1 lines were lost.*\nnext\n$/);
});

test('the stderr sink survives a closed descriptor', () => {
  const sink = stderrSink({
    write: () => {
      throw Object.assign(new Error('gone'), { code: 'EPIPE' });
    },
  });
  assert.doesNotThrow(() => sink('x\n'));
});
