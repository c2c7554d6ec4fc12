// NBD addresses as people type them, and that what is printed can be read again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import type { SockAddress } from '../sock/index.ts';
import { formatNbdUri, parseNbdAddress } from './uri.ts';

const at = (address: SockAddress, exportName = '') => ({ address, exportName });

test('what people type', () => {
  const cases: [string, SockAddress, string?][] = [
    ['nbd://example.com:10810/disk', { host: 'example.com', port: 10810 }, 'disk'],
    ['nbd://example.com', { host: 'example.com', port: 10809 }],
    ['nbd://example.com/', { host: 'example.com', port: 10809 }],
    ['nbd://example.com//disk', { host: 'example.com', port: 10809 }, '/disk'],
    ['nbd://example.com/hello%20world', { host: 'example.com', port: 10809 }, 'hello world'],
    ['nbd://[::1]:0/x', { host: '::1', port: 0 }, 'x'],
    ['nbd:///x', { host: '127.0.0.1', port: 10809 }, 'x'],
    ['nbd+unix:///disk?socket=/tmp/a%20b', { path: '/tmp/a b' }, 'disk'],
    ['nbd+unix:///?socket=nbd.sock', { path: 'nbd.sock' }],
    ['unix:nbd.sock', { path: 'nbd.sock' }],
    ['/run/nbd.sock', { path: '/run/nbd.sock' }],
    ['./x', { path: './x' }],
    ['localhost:1234', { host: 'localhost', port: 1234 }],
    [':1234', { host: '127.0.0.1', port: 1234 }],
    ['10.0.0.1', { host: '10.0.0.1', port: 10809 }],
    ['[::]:1', { host: '::', port: 1 }],
  ];
  for (const [text, address, name] of cases) assert.deepEqual(parseNbdAddress(text), at(address, name ?? ''), text);
});

test('what is wrong is said', () => {
  const cases: [string, RegExp][] = [
    ['', /empty/],
    ['nbds://host', /TLS/],
    ['nbd+unix:///x', /socket=PATH/],
    ['nbd://host:99999/', /URI/],
    ['nbd://host/%zz', /encoded/],
    ['host:70000', /65535/],
    ['a:b:c', /HOST:PORT/],
    ['::1', /HOST:PORT/],
    ['unix:', /empty/],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => parseNbdAddress(text),
      (error: unknown) => error instanceof SpdkError && error.code === 'EINVAL' && message.test(error.message),
      text,
    );
  }
});

test('an address that is printed can be read again', () => {
  const cases: [SockAddress, string][] = [
    [{ host: '127.0.0.1', port: 10809 }, 'disk'],
    [{ host: '::1', port: 5 }, 'a/b c?d#ä'],
    [{ path: '/tmp/with space & more?' }, ''],
  ];
  for (const [address, name] of cases) {
    assert.deepEqual(parseNbdAddress(formatNbdUri(address, name)), at(address, name));
  }
  assert.equal(formatNbdUri({ host: '0.0.0.0', port: 1 }, 'x'), 'nbd://localhost:1/x');
});
