/** uuids that follow from others: the standard's own example, and what another implementation of SPDK's recipe gives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { derivedUuid, nameUuid } from './derived-uuid.ts';

test('a name’s uuid is that of RFC 9562, appendix A.4', () => {
  const dns = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
  assert.equal(nameUuid(dns, Buffer.from('www.example.com')), '2ed6657d-e927-568b-95e1-2665a8aea6a2');
});

test('a disk’s follows from its base’s, a part’s also from where it lies', () => {
  const base = '11111111-2222-4333-8444-555555555555';
  const part = '976b899e-3e1e-4d71-ab69-c2b08e9df8b8';
  assert.equal(derivedUuid(part, base, 0, 512), '222d10a9-0bdd-58a9-b48c-0a88d4cadf86');
  assert.equal(derivedUuid(part, base, 512, 512), '6a211fd5-7dd9-5c98-a08a-d87c89a097e0');
  assert.equal(derivedUuid('7e25812e-c8c0-4d3f-8599-16d790555b85', base), '04636583-270a-552b-bb7f-4b567401d48a');
  assert.match(derivedUuid(part, base, 2 ** 53 - 1, 1), /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-/);
});
