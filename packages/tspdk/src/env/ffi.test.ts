/** Libraries beside libc, through the port. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ffi, ffiReason } from './ffi.ts';

test('a library gives functions and addresses, and an error for what it does not have', (t) => {
  if (ffi === null) return t.skip(ffiReason);
  const libm = ffi.library('libm.so.6');
  assert.equal(libm.func('abs', 'int', 'int')(-7), 7, 'libm brings libc along');
  assert.equal(ffi.library(null).func('strlen', 'int64_t', 'str')('four'), 4);
  assert(libm.symbol('cos') > 4096);
  assert.throws(() => libm.func('no_such_function', 'int'), /no_such_function/);
  assert.throws(() => ffi?.library('libno-such.so.1'), /cannot open/);
});
