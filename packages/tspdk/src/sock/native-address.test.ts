// Socket addresses in the kernel's form: every way to write an IPv6 address, there and back, against Node's URL parser.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeSockaddr, encodeInet, listenError, parseIpv6 } from './native-address.ts';

const canonical = (address: string) => new URL(`http://[${address}]/`).hostname.slice(1, -1);

test('IPv6 in its usual spellings', () => {
  assert.deepEqual(parseIpv6('::'), [0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(parseIpv6('::1'), [0, 0, 0, 0, 0, 0, 0, 1]);
  assert.deepEqual(parseIpv6('fe80::1%eth0'), [0xfe80, 0, 0, 0, 0, 0, 0, 1]);
  assert.deepEqual(parseIpv6('2001:db8::'), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(parseIpv6('1:2:3:4:5:6:7:8'), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(parseIpv6('::ffff:192.0.2.33'), [0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0221]);
});

test('any address and port come back as they went in', () => {
  fc.assert(
    fc.property(fc.ipV6(), fc.nat(65535), (address, port) => {
      const found = decodeSockaddr(encodeInet(address, 6, port));
      assert.equal(found.port, port);
      const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(canonical(address));
      assert.equal(found.host.includes('.'), mapped !== null);
      if (mapped === null) assert.equal(found.host, canonical(address));
    }),
  );
  fc.assert(
    fc.property(fc.ipV4(), fc.nat(65535), (address, port) => {
      assert.deepEqual(decodeSockaddr(encodeInet(address, 4, port)), { host: address, port });
    }),
  );
  assert.deepEqual(decodeSockaddr(encodeInet('::ffff:192.0.2.33', 6, 80)), { host: '192.0.2.33', port: 80 });
});

test('an errno becomes an error that names the address', () => {
  const error = listenError(98, '[::1]:10809');
  assert.equal(error.code, 'EADDRINUSE');
  assert.equal(error.message, 'cannot listen on [::1]:10809: the address is in use');
  assert.match(listenError(77, 'x').message, /errno 77/);
});
