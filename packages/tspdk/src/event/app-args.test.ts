// test_spdk_app_parse_args: flags as SPDK takes them, and a clear error for those it would not take.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { APP_FLAGS, flagHelp, parseAppArgs } from './app-args.ts';

test('test_spdk_app_parse_args: short, long, attached and separate values', () => {
  const args = parseAppArgs([
    '-m',
    '0x3',
    '-p1',
    '--rpc-socket=/tmp/x.sock',
    '-L',
    'nbd',
    '-Lbdev',
    '--wait-for-rpc',
    'disk.img',
  ]);
  assert.deepEqual(
    [args.cores, args.mainCore, args.rpcAddress, args.logFlags, args.waitForRpc, args.rest],
    [[0, 1], 1, '/tmp/x.sock', ['nbd', 'bdev'], true, ['disk.img']],
  );
  assert.deepEqual(parseAppArgs(['-m', '[0,2-4]']).cores, [0, 2, 3, 4]);
  assert.deepEqual(parseAppArgs(['--lcores', '1,3']).cores, [1, 3]);
  assert.equal(parseAppArgs(['--json', 'a.json']).configFile, 'a.json');
  assert.equal(parseAppArgs([]).cores, undefined);
  assert.deepEqual(parseAppArgs(['--', '-m']).rest, ['-m']);
});

test('test_spdk_app_parse_args: every flag without meaning is accepted and said once', () => {
  const silent = APP_FLAGS.filter((flag) => flag.noEffect !== undefined);
  assert.ok(silent.length > 10);
  for (const flag of silent) {
    const args = parseAppArgs([`--${flag.name}`, ...(flag.value === undefined ? [] : ['1'])]);
    assert.equal(args.notes.length, 1);
    assert.match(args.notes[0]!, new RegExp(`^--${flag.name} has no effect: .`));
  }
});

test('test_spdk_app_parse_args: bad input names the flag, the value and the limit', () => {
  const bad: [string[], RegExp][] = [
    [['--nonsense'], /unknown flag --nonsense/],
    [['-Z'], /unknown flag -Z/],
    [['-m'], /-m needs a value: MASK/],
    [['--poll=yes'], /--poll takes no value, got "yes"/],
    [['-c', 'a', '--json', 'b'], /given twice: "a" and "b"/],
    [['-p', 'x'], /--main-core x: not a whole number of at least 0/],
    [['--idle-poll-us', '-5'], /-5: not a whole number/],
    [['-m', '0x1', '--lcores', '0'], /exclude each other/],
    [['-m', '0xzz'], /0xzz/],
  ];
  for (const [argv, pattern] of bad) assert.throws(() => parseAppArgs(argv), pattern, argv.join(' '));
});

test('a program’s own flags are read beside them and help lists all', () => {
  const own = [{ name: 'nbd', value: 'ADDR', summary: 'where to listen', repeat: true }];
  const args = parseAppArgs(['--nbd', 'a', '-d', '--nbd=b'], own);
  assert.deepEqual(args.extra.get('nbd'), ['a', 'b']);
  for (const flag of APP_FLAGS) assert.ok(flagHelp(APP_FLAGS).includes(`--${flag.name}`));
});
