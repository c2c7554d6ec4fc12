/**
 * The client's side of NBD for tests: builds handshakes and requests, takes replies apart. Written from the document, not from wire.ts.
 */

/** Concatenates parts; a number is one byte. */
export function cat(...parts: (Uint8Array | number[])[]): Uint8Array {
  const arrays = parts.map((part) => (part instanceof Uint8Array ? part : Uint8Array.from(part)));
  const all = new Uint8Array(arrays.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of arrays) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value & 255);
}
export function u32(value: number): Uint8Array {
  return Uint8Array.of((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}
export function u64(value: number | bigint): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(value));
  return out;
}
export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

export function option(number: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  return cat(text('IHAVEOPT'), u32(number), u32(data.length), data);
}
export function go(name: string, infos: number[] = [], number = 7): Uint8Array {
  return option(number, cat(u32(text(name).length), text(name), u16(infos.length), ...infos.map(u16)));
}
export function metaContext(number: number, name: string, queries: string[]): Uint8Array {
  const list = queries.flatMap((query) => [u32(text(query).length), text(query)]);
  return option(number, cat(u32(text(name).length), text(name), u32(queries.length), ...list));
}
export const clientFlags = (flags: number): Uint8Array => u32(flags);

export interface RequestFields {
  type: number;
  flags?: number;
  cookie?: number | bigint;
  offset?: number | bigint;
  length?: number;
  magic?: number;
  data?: Uint8Array;
}
export function request(fields: RequestFields): Uint8Array {
  return cat(
    u32(fields.magic ?? 0x25609513),
    u16(fields.flags ?? 0),
    u16(fields.type),
    u64(fields.cookie ?? 0),
    u64(fields.offset ?? 0),
    u32(fields.length ?? fields.data?.length ?? 0),
    fields.data ?? new Uint8Array(0),
  );
}

/** One reply of the handshake. */
export interface OptionReply {
  option: number;
  type: number;
  data: Uint8Array;
}

/** Takes bytes apart in order; throws when they are not what it is asked for. */
export class ReplyReader {
  #at = 0;
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  get left(): number {
    return this.bytes.length - this.#at;
  }
  take(count: number): Uint8Array {
    if (this.left < count) throw new Error(`wanted ${count} bytes, ${this.left} are left`);
    this.#at += count;
    return this.bytes.subarray(this.#at - count, this.#at);
  }
  u16(): number {
    this.take(2);
    return this.#view.getUint16(this.#at - 2);
  }
  u32(): number {
    this.take(4);
    return this.#view.getUint32(this.#at - 4);
  }
  u64(): bigint {
    this.take(8);
    return this.#view.getBigUint64(this.#at - 8);
  }
  greeting(): number {
    const magic = new TextDecoder().decode(this.take(16));
    if (magic !== 'NBDMAGICIHAVEOPT') throw new Error(`greeting is ${magic}`);
    return this.u16();
  }
  optionReply(): OptionReply {
    const magic = this.u64();
    if (magic !== 0x3e889045565a9n) throw new Error(`option reply magic ${magic.toString(16)}`);
    const number = this.u32();
    const type = this.u32();
    return { option: number, type, data: this.take(this.u32()) };
  }
  /** All option replies that are there. */
  optionReplies(): OptionReply[] {
    const all: OptionReply[] = [];
    while (this.left > 0) all.push(this.optionReply());
    return all;
  }
}

/** The whole answer to one request. */
export interface Reply {
  cookie: bigint;
  error: number;
  /** Of a READ: its data, at the place it belongs to. */
  data: Uint8Array;
  /** Of a BLOCK_STATUS. */
  extents: { bytes: number; flags: number }[];
  chunks: number;
}

export interface Expected {
  type: number;
  offset: number;
  length: number;
}

/** Collects replies; `expected` says what each cookie asked for. Simple replies carry data only for a READ without error. */
export function readReplies(
  reader: ReplyReader,
  structured: boolean,
  expected: Map<bigint, Expected>,
): Map<bigint, Reply> {
  const replies = new Map<bigint, Reply>();
  const open = new Map<bigint, Reply>();
  while (reader.left > 0) {
    const magic = reader.u32();
    if (magic === 0x67446698) {
      const error = reader.u32();
      const cookie = reader.u64();
      const asked = expected.get(cookie);
      if (asked === undefined) throw new Error(`reply to ${cookie}, which nobody asked`);
      if (structured && asked.type === 0) throw new Error('a simple reply to a READ with structured replies agreed');
      const data = asked.type === 0 && error === 0 ? reader.take(asked.length).slice() : new Uint8Array(0);
      if (replies.has(cookie)) throw new Error(`two replies to ${cookie}`);
      replies.set(cookie, { cookie, error, data, extents: [], chunks: 0 });
      continue;
    }
    if (magic !== 0x668e33ef) throw new Error(`reply magic ${magic.toString(16)}`);
    if (!structured) throw new Error('a structured reply nobody agreed on');
    const flags = reader.u16();
    const type = reader.u16();
    const cookie = reader.u64();
    const body = new ReplyReader(reader.take(reader.u32()));
    const asked = expected.get(cookie);
    if (asked === undefined || replies.has(cookie)) throw new Error(`a chunk for ${cookie}, which nobody waits for`);
    let reply = open.get(cookie);
    if (reply === undefined) {
      reply = { cookie, error: 0, data: new Uint8Array(asked.type === 0 ? asked.length : 0), extents: [], chunks: 0 };
      open.set(cookie, reply);
    }
    reply.chunks++;
    if (type === 1) {
      const at = Number(body.u64()) - asked.offset;
      const data = body.take(body.left);
      if (data.length === 0 || at < 0 || at + data.length > asked.length)
        throw new Error('data outside of the request');
      reply.data.set(data, at);
    } else if (type === 5) {
      if (body.u32() !== 1) throw new Error('unknown context');
      while (body.left > 0) reply.extents.push({ bytes: body.u32(), flags: body.u32() });
    } else if (type === 0x8001) {
      reply.error = body.u32();
      body.take(body.u16());
      if (reply.error === 0) throw new Error('an error chunk without error');
    } else if (type !== 0) throw new Error(`chunk type ${type}`);
    if ((flags & 1) !== 0) {
      open.delete(cookie);
      replies.set(cookie, reply);
    }
  }
  if (open.size > 0) throw new Error('a reply has no end');
  return replies;
}
