// The handshake, option by option, with what a peer may send wrongly in each.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../env/limits.ts';
import { cat, clientFlags, go, metaContext, option, ReplyReader, text, u16, u32 } from './client.sim.ts';
import { type ExportInfo, Negotiator } from './negotiate.ts';

const disks: ExportInfo[] = [
  {
    name: 'a',
    description: 'first',
    sizeBytes: 2 ** 40 + 512,
    flags: 0x56d,
    minBlockBytes: 1,
    preferredBlockBytes: 4096,
  },
  { name: 'bö', description: '', sizeBytes: 4096, flags: 3, minBlockBytes: 512, preferredBlockBytes: 4096 },
];
const host = {
  find: (name: string) => (name === '' ? disks[0] : disks.find((disk) => disk.name === name)) ?? null,
  list: () => disks,
};

/** Sends everything at once and gives back what came after the greeting. */
function talk(...parts: Uint8Array[]): { negotiator: Negotiator<ExportInfo>; reader: ReplyReader } {
  const negotiator = new Negotiator(host);
  const bytes = cat(...parts);
  const heard: Uint8Array[] = [];
  for (let at = 0; ; ) {
    heard.push(...negotiator.out.splice(0));
    const used = negotiator.feed(bytes.subarray(at));
    at += used;
    if (used === 0 && negotiator.out.length === 0) break;
  }
  const reader = new ReplyReader(cat(...heard));
  assert.equal(reader.greeting(), 3);
  return { negotiator, reader };
}
const ack = (number: number) => ({ option: number, type: 1, data: new Uint8Array(0) });
const ERR = 0x8000_0000;

test('EXPORT_NAME: size and flags, with and without the 124 zeroes', () => {
  for (const [flags, bytes] of [
    [3, 10],
    [1, 134],
    [0, 134],
  ]) {
    const { negotiator, reader } = talk(clientFlags(flags), option(1, text('a')));
    assert.equal(negotiator.phase, 'transmission');
    assert.equal(negotiator.export, disks[0]);
    assert.equal(reader.left, bytes);
    assert.equal(reader.u64(), 2n ** 40n + 512n);
    assert.equal(reader.u16(), 0x56d | 1);
    assert.ok(reader.take(reader.left).every((byte) => byte === 0));
  }
});

test('EXPORT_NAME for an unknown export ends the session without an answer', () => {
  const { negotiator, reader } = talk(clientFlags(3), option(1, text('nope')));
  assert.equal(negotiator.phase, 'closed');
  assert.match(negotiator.closeReason, /"nope"/);
  assert.equal(reader.left, 0);
});

test('unknown client flags end the session', () => {
  const { negotiator } = talk(clientFlags(4), option(1, text('a')));
  assert.equal(negotiator.phase, 'closed');
  assert.match(negotiator.closeReason, /0x4/);
});

test('LIST names every export with its description; with data it is invalid', () => {
  const { reader, negotiator } = talk(clientFlags(3), option(3), option(3, Uint8Array.of(0)));
  const [first, second, done, bad] = reader.optionReplies();
  assert.deepEqual(first, { option: 3, type: 2, data: cat(u32(1), text('a'), text('first')) });
  assert.deepEqual(second, { option: 3, type: 2, data: cat(u32(3), text('bö')) });
  assert.deepEqual(done, ack(3));
  assert.equal(bad.type, ERR + 3);
  assert.equal(negotiator.phase, 'options');
});

test('INFO tells, GO tells and enters; what is asked for is sent', () => {
  for (const number of [6, 7]) {
    const { negotiator, reader } = talk(clientFlags(3), go('bö', [3, 1, 2, 77], number));
    const [info, name, sizes, done, ...rest] = reader.optionReplies();
    assert.deepEqual(info.data, cat(u16(0), [0, 0, 0, 0, 0, 0, 0x10, 0], u16(3)));
    assert.deepEqual(name.data, cat(u16(1), text('bö')));
    assert.deepEqual(sizes.data, cat(u16(3), u32(512), u32(4096), u32(32 * 1024 * 1024)));
    assert.deepEqual(done, ack(number));
    assert.equal(rest.length, 0);
    assert.equal(negotiator.phase, number === 7 ? 'transmission' : 'options');
    assert.equal(negotiator.export, number === 7 ? disks[1] : null);
  }
  const { reader } = talk(clientFlags(3), go('', [2]));
  const replies = reader.optionReplies();
  assert.equal(replies.length, 3);
  assert.deepEqual(replies[1].data, cat(u16(2), text('first')));
});

test('GO for an unknown export is answered, and the haggling goes on', () => {
  const { negotiator, reader } = talk(clientFlags(3), go('nope'), go('a'));
  const [unknown, info, done] = reader.optionReplies();
  assert.equal(unknown.type, ERR + 6);
  assert.equal(info.type, 3);
  assert.deepEqual(done, ack(7));
  assert.equal(negotiator.phase, 'transmission');
});

test('DF is announced only after structured replies were agreed on', () => {
  const { negotiator, reader } = talk(clientFlags(3), go('a', [], 6), option(8), go('a', [], 6));
  const [before, , agreed, after] = reader.optionReplies();
  assert.deepEqual(agreed, ack(8));
  assert.equal(new DataView(before.data.slice().buffer).getUint16(10), 0x56d);
  assert.equal(new DataView(after.data.slice().buffer).getUint16(10), 0x56d | 0x80);
  assert.equal(negotiator.structured, true);
});

test('base:allocation: listed by wildcard, set by name, only with structured replies, only for the export entered', () => {
  const early = talk(clientFlags(3), metaContext(10, 'a', ['base:allocation'])).reader.optionReplies();
  assert.equal(early[0].type, ERR + 3);

  const context = (id: number) => cat(u32(id), text('base:allocation'));
  for (const queries of [[], ['base:'], ['base:allocation', 'x-none:what']]) {
    const replies = talk(clientFlags(3), option(8), metaContext(9, 'a', queries)).reader.optionReplies();
    assert.deepEqual(replies.slice(1), [{ option: 9, type: 4, data: context(0) }, ack(9)]);
  }
  for (const queries of [[], ['base:'], ['qemu:dirty-bitmap:x']]) {
    const { negotiator, reader } = talk(clientFlags(3), option(8), metaContext(10, 'a', queries), go('a'));
    assert.deepEqual(reader.optionReplies()[1], ack(10));
    assert.equal(negotiator.allocationContext, false);
  }
  const set = talk(clientFlags(3), option(8), metaContext(10, 'a', ['base:allocation']), go('a'));
  assert.deepEqual(set.reader.optionReplies().slice(1, 3), [{ option: 10, type: 4, data: context(1) }, ack(10)]);
  assert.equal(set.negotiator.allocationContext, true);
  const other = talk(clientFlags(3), option(8), metaContext(10, 'a', ['base:allocation']), go('bö'));
  assert.equal(other.negotiator.allocationContext, false);
  const replaced = talk(
    clientFlags(3),
    option(8),
    metaContext(10, 'a', ['base:allocation']),
    metaContext(10, 'nope', ['base:allocation']),
    go('a'),
  );
  assert.equal(replaced.negotiator.allocationContext, false, 'a failing request replaces the former choice');
});

test('TLS, extended headers and unknown options are refused, and the next option is understood', () => {
  for (const number of [4, 5, 11, 12, 0xffff_ffff]) {
    const { negotiator, reader } = talk(clientFlags(3), option(number), option(number, new Uint8Array(100)), option(3));
    const replies = reader.optionReplies();
    assert.equal(replies[0].type, ERR + 1);
    assert.ok(replies[1].type === ERR + 1 || (number === 5 && replies[1].type === ERR + 3));
    assert.deepEqual(replies.at(-1), ack(3));
    assert.equal(negotiator.phase, 'options');
  }
});

test('ABORT is acknowledged, then the session ends', () => {
  const { negotiator, reader } = talk(clientFlags(3), option(2, text('bye')));
  assert.deepEqual(reader.optionReplies(), [ack(2)]);
  assert.equal(negotiator.phase, 'closed');
  assert.equal(negotiator.closeReason, '');
});

test('lengths inside an option that do not add up are invalid', () => {
  const bad: [number, Uint8Array][] = [
    [7, new Uint8Array(0)],
    [7, cat(u32(5), text('a'), u16(0))],
    [7, cat(u32(0xffff_ffff), text('a'), u16(0))],
    [7, cat(u32(1), text('a'), u16(2), u16(0))],
    [7, cat(u32(1), text('a'), u16(0), u16(0))],
    [7, cat(u32(2), [0xc3, 0x28], u16(0))],
    [10, cat(u32(1), text('a'))],
    [10, cat(u32(1), text('a'), u32(0xffff_ffff))],
    [10, cat(u32(1), text('a'), u32(1), u32(100), text('base:'))],
    [10, cat(u32(1), text('a'), u32(0), [1])],
    [6, cat(u32(limits.nbd_string_bytes_max + 1), new Uint8Array(limits.nbd_string_bytes_max + 1), u16(0))],
  ];
  for (const [number, data] of bad) {
    const { negotiator, reader } = talk(clientFlags(3), option(8), option(number, data), option(3));
    const replies = reader.optionReplies();
    assert.equal(replies[1].type, ERR + 3, `option ${number} with ${data.length} bytes`);
    assert.deepEqual(replies.at(-1), ack(3));
    assert.equal(negotiator.phase, 'options');
  }
});

test('a name of exactly the limit is looked up', () => {
  const { reader } = talk(clientFlags(3), go('x'.repeat(limits.nbd_string_bytes_max)));
  assert.equal(reader.optionReplies()[0].type, ERR + 6);
});

test('wrong magic, an oversized option and too many options end the session', () => {
  assert.match(talk(clientFlags(3), text('IHAVEOPX'), u32(3), u32(0)).negotiator.closeReason, /magic/);
  const huge = talk(clientFlags(3), text('IHAVEOPT'), u32(3), u32(limits.nbd_option_bytes_max + 1));
  assert.match(huge.negotiator.closeReason, /limit 32768/);
  const many = talk(clientFlags(3), ...Array.from({ length: limits.nbd_options_max + 1 }, () => option(12)));
  assert.match(many.negotiator.closeReason, /1024 options/);
  assert.equal(many.reader.optionReplies().length, limits.nbd_options_max);
});

test('nothing is read while replies wait', () => {
  const negotiator = new Negotiator(host);
  assert.equal(negotiator.feed(clientFlags(3)), 0);
  negotiator.out.length = 0;
  const two = cat(clientFlags(3), option(3), option(3));
  assert.equal(negotiator.feed(two), 20);
});
