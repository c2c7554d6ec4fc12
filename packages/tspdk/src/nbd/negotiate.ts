/**
 * The handshake of one connection: fixed newstyle, from the greeting to the transmission phase.
 *
 * Bytes go in, bytes come out; it knows no socket and no disk, so every peer, honest or not, can be played in a test.
 * It may allocate, but what a peer can make it hold is bounded: one option of `nbd_option_bytes_max`, `nbd_options_max` of
 * them, and no further option is read while replies to the last one wait (see `out`). Malformed framing ends the connection; an
 * option that is merely wrong gets an error reply, and the haggling goes on. Runs on the connection's reactor.
 */
import { limits } from '../env/limits.ts';
import * as wire from './wire.ts';

/** What the handshake tells a client about an export. */
export interface ExportInfo {
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  /** Transmission flags without SEND_DF, which depends on the connection. */
  readonly flags: number;
  readonly minBlockBytes: number;
  readonly preferredBlockBytes: number;
}

/** What the handshake asks of the target. */
export interface NegotiatorHost<E extends ExportInfo> {
  /** The export of that name; an empty name stands for the default export. */
  find(name: string): E | null;
  list(): Iterable<E>;
}

/** Id of `base:allocation` on this connection. */
export const ALLOCATION_CONTEXT_ID = 1;
const ALLOCATION_CONTEXT = 'base:allocation';
const OPTION_HEADER_BYTES = 16;
const encoder = new TextEncoder();

type Phase = 'flags' | 'options' | 'transmission' | 'closed';

/** A read over option data that refuses to leave it. */
class OptionReader {
  #at = 0;
  readonly #data: Uint8Array;
  readonly #view: DataView;
  /** Set once a field did not fit; every later read is then 0 or empty. */
  bad = false;
  constructor(data: Uint8Array) {
    this.#data = data;
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }
  get atEnd(): boolean {
    return !this.bad && this.#at === this.#data.length;
  }
  u16(): number {
    return this.#take(2) ? this.#view.getUint16(this.#at - 2) : 0;
  }
  u32(): number {
    return this.#take(4) ? this.#view.getUint32(this.#at - 4) : 0;
  }
  string(): string {
    const bytes = this.u32();
    if (bytes > limits.nbd_string_bytes_max || !this.#take(bytes)) {
      this.bad = true;
      return '';
    }
    return this.#utf8(this.#data.subarray(this.#at - bytes, this.#at));
  }
  rest(): string {
    const bytes = this.#data.subarray(this.#at);
    this.#at = this.#data.length;
    if (bytes.length > limits.nbd_string_bytes_max) this.bad = true;
    return this.bad ? '' : this.#utf8(bytes);
  }
  #take(bytes: number): boolean {
    if (this.bad || this.#data.length - this.#at < bytes) {
      this.bad = true;
      return false;
    }
    this.#at += bytes;
    return true;
  }
  #utf8(bytes: Uint8Array): string {
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      this.bad = true;
      return '';
    }
  }
}

/** The state machine. Feed it, send what is in `out`, look at `phase`. */
export class Negotiator<E extends ExportInfo> {
  phase: Phase = 'flags';
  /** Why `phase` is 'closed'; empty when the client asked for it. */
  closeReason = '';
  /** Replies to send, in order. The owner empties it; `feed` does nothing until it has. */
  readonly out: Uint8Array[] = [];
  /** Structured replies were agreed on. */
  structured = false;
  /** `base:allocation` was chosen for the export that was entered. */
  allocationContext = false;
  /** The export that was entered, once `phase` is 'transmission'. */
  export: E | null = null;

  readonly #host: NegotiatorHost<E>;
  #noZeroes = false;
  #options = 0;
  /** The export that SET_META_CONTEXT named when it chose base:allocation. */
  #contextExport: E | null = null;

  constructor(host: NegotiatorHost<E>) {
    this.#host = host;
    const greeting = new Uint8Array(18);
    const view = new DataView(greeting.buffer);
    view.setUint32(0, wire.INIT_MAGIC_HI);
    view.setUint32(4, wire.INIT_MAGIC_LO);
    view.setUint32(8, wire.OPTS_MAGIC_HI);
    view.setUint32(12, wire.OPTS_MAGIC_LO);
    view.setUint16(16, wire.FLAG_FIXED_NEWSTYLE | wire.FLAG_NO_ZEROES);
    this.out.push(greeting);
  }

  /** Takes what is complete at the start of `bytes` (which may be shared memory); returns how many bytes it took. */
  feed(bytes: Uint8Array): number {
    let at = 0;
    while (this.out.length === 0) {
      const taken = this.#step(bytes, at);
      if (taken === 0) break;
      at += taken;
    }
    return at;
  }

  #step(bytes: Uint8Array, at: number): number {
    const available = bytes.length - at;
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, available);
    if (this.phase === 'flags') {
      if (available < 4) return 0;
      this.#clientFlags(view.getUint32(0));
      return 4;
    }
    if (this.phase !== 'options' || available < OPTION_HEADER_BYTES) return 0;
    if (view.getUint32(0) !== wire.OPTS_MAGIC_HI || view.getUint32(4) !== wire.OPTS_MAGIC_LO) {
      this.#close('an option does not start with the option magic');
      return OPTION_HEADER_BYTES;
    }
    const option = view.getUint32(8);
    const length = view.getUint32(12);
    if (length > limits.nbd_option_bytes_max) {
      this.#close(`option ${option} has ${length} bytes, limit ${limits.nbd_option_bytes_max}`);
      return OPTION_HEADER_BYTES;
    }
    if (available < OPTION_HEADER_BYTES + length) return 0;
    if (++this.#options > limits.nbd_options_max) {
      this.#close(`more than ${limits.nbd_options_max} options`);
      return OPTION_HEADER_BYTES;
    }
    const start = at + OPTION_HEADER_BYTES;
    this.#option(option, bytes.slice(start, start + length)); // a private copy: what was checked cannot change
    return OPTION_HEADER_BYTES + length;
  }

  #clientFlags(flags: number): void {
    if ((flags & ~(wire.FLAG_FIXED_NEWSTYLE | wire.FLAG_NO_ZEROES)) !== 0) {
      this.#close(`client flags 0x${(flags >>> 0).toString(16)} contain unknown bits`);
      return;
    }
    this.#noZeroes = (flags & wire.FLAG_NO_ZEROES) !== 0;
    this.phase = 'options';
  }

  #option(option: number, data: Uint8Array): void {
    switch (option) {
      case wire.OPT_EXPORT_NAME:
        this.#exportName(data);
        return;
      case wire.OPT_ABORT:
        this.#reply(option, wire.REP_ACK);
        this.#close('');
        return;
      case wire.OPT_LIST:
        this.#list(data);
        return;
      case wire.OPT_INFO:
      case wire.OPT_GO:
        this.#infoOrGo(option, data);
        return;
      case wire.OPT_STRUCTURED_REPLY:
        if (data.length > 0) {
          this.#error(option, wire.REP_ERR_INVALID, 'STRUCTURED_REPLY carries no data');
          return;
        }
        this.structured = true;
        this.#reply(option, wire.REP_ACK);
        return;
      case wire.OPT_LIST_META_CONTEXT:
      case wire.OPT_SET_META_CONTEXT:
        this.#metaContext(option, data);
        return;
      case wire.OPT_STARTTLS:
        if (data.length > 0) {
          this.#error(option, wire.REP_ERR_INVALID, 'STARTTLS carries no data');
          return;
        }
        this.#error(option, wire.REP_ERR_UNSUP, 'this server does not offer TLS');
        return;
      default:
        this.#error(option, wire.REP_ERR_UNSUP, `option ${option} is not supported`);
        return;
    }
  }

  #exportName(data: Uint8Array): void {
    const reader = new OptionReader(data);
    const name = reader.rest();
    const found = reader.bad ? null : this.#host.find(name);
    if (found === null) {
      this.#close(`EXPORT_NAME asks for an unknown export "${name.slice(0, 64)}"`);
      return;
    }
    const reply = new Uint8Array(this.#noZeroes ? 10 : 134);
    const view = new DataView(reply.buffer);
    wire.writeOffset(view, 0, found.sizeBytes);
    view.setUint16(8, this.#flagsOf(found));
    this.out.push(reply);
    this.#enter(found);
  }

  #list(data: Uint8Array): void {
    if (data.length > 0) {
      this.#error(wire.OPT_LIST, wire.REP_ERR_INVALID, 'LIST carries no data');
      return;
    }
    for (const found of this.#host.list()) {
      const name = encoder.encode(found.name);
      const description = encoder.encode(found.description);
      const body = new Uint8Array(4 + name.length + description.length);
      new DataView(body.buffer).setUint32(0, name.length);
      body.set(name, 4);
      body.set(description, 4 + name.length);
      this.#reply(wire.OPT_LIST, wire.REP_SERVER, body);
    }
    this.#reply(wire.OPT_LIST, wire.REP_ACK);
  }

  #infoOrGo(option: number, data: Uint8Array): void {
    const reader = new OptionReader(data);
    const name = reader.string();
    const count = reader.u16();
    const wanted = new Set<number>();
    for (let i = 0; i < count && !reader.bad; i++) wanted.add(reader.u16());
    if (!reader.atEnd) {
      this.#error(option, wire.REP_ERR_INVALID, 'the lengths inside the option do not add up');
      return;
    }
    const found = this.#host.find(name);
    if (found === null) {
      this.#error(option, wire.REP_ERR_UNKNOWN, `no export is called "${name.slice(0, 64)}"`);
      return;
    }

    const info = new Uint8Array(12);
    const view = new DataView(info.buffer);
    view.setUint16(0, wire.INFO_EXPORT);
    wire.writeOffset(view, 2, found.sizeBytes);
    view.setUint16(10, this.#flagsOf(found));
    this.#reply(option, wire.REP_INFO, info);
    if (wanted.has(wire.INFO_NAME)) this.#infoText(option, wire.INFO_NAME, found.name);
    if (wanted.has(wire.INFO_DESCRIPTION) && found.description !== '') {
      this.#infoText(option, wire.INFO_DESCRIPTION, found.description);
    }
    if (wanted.has(wire.INFO_BLOCK_SIZE)) {
      const sizes = new Uint8Array(14);
      const sizesView = new DataView(sizes.buffer);
      sizesView.setUint16(0, wire.INFO_BLOCK_SIZE);
      sizesView.setUint32(2, found.minBlockBytes);
      sizesView.setUint32(6, found.preferredBlockBytes);
      sizesView.setUint32(10, limits.nbd_payload_bytes_max);
      this.#reply(option, wire.REP_INFO, sizes);
    }
    this.#reply(option, wire.REP_ACK);
    if (option === wire.OPT_GO) this.#enter(found);
  }

  #infoText(option: number, type: number, text: string): void {
    const bytes = encoder.encode(text);
    const body = new Uint8Array(2 + bytes.length);
    new DataView(body.buffer).setUint16(0, type);
    body.set(bytes, 2);
    this.#reply(option, wire.REP_INFO, body);
  }

  #metaContext(option: number, data: Uint8Array): void {
    const set = option === wire.OPT_SET_META_CONTEXT;
    if (set) this.#contextExport = null; // a failing request replaces the former choice, too
    const reader = new OptionReader(data);
    const name = reader.string();
    const count = reader.u32();
    // Each query takes at least its length field, so the data bounds the count whatever it claims.
    let selected = !set && count === 0;
    for (let i = 0; i < count && !reader.bad; i++) {
      const query = reader.string();
      if (query === ALLOCATION_CONTEXT || (!set && query === 'base:')) selected = true;
    }
    if (!reader.atEnd) {
      this.#error(option, wire.REP_ERR_INVALID, 'the lengths inside the option do not add up');
      return;
    }
    if (!this.structured) {
      this.#error(option, wire.REP_ERR_INVALID, 'metadata contexts need structured replies first');
      return;
    }
    const found = this.#host.find(name);
    if (found === null) {
      this.#error(option, wire.REP_ERR_UNKNOWN, `no export is called "${name.slice(0, 64)}"`);
      return;
    }
    if (selected) {
      const context = encoder.encode(ALLOCATION_CONTEXT);
      const body = new Uint8Array(4 + context.length);
      new DataView(body.buffer).setUint32(0, set ? ALLOCATION_CONTEXT_ID : 0);
      body.set(context, 4);
      this.#reply(option, wire.REP_META_CONTEXT, body);
      if (set) this.#contextExport = found;
    }
    this.#reply(option, wire.REP_ACK);
  }

  #flagsOf(found: E): number {
    return found.flags | wire.TX_HAS_FLAGS | (this.structured ? wire.TX_SEND_DF : 0);
  }

  #enter(found: E): void {
    this.export = found;
    this.allocationContext = this.#contextExport === found;
    this.phase = 'transmission';
  }

  #close(reason: string): void {
    this.closeReason = reason;
    this.phase = 'closed';
  }

  #error(option: number, type: number, text: string): void {
    this.#reply(option, type, encoder.encode(text));
  }

  #reply(option: number, type: number, body: Uint8Array = new Uint8Array(0)): void {
    const reply = new Uint8Array(20 + body.length);
    const view = new DataView(reply.buffer);
    view.setUint32(0, wire.REP_MAGIC_HI);
    view.setUint32(4, wire.REP_MAGIC_LO);
    view.setUint32(8, option);
    view.setUint32(12, type);
    view.setUint32(16, body.length);
    reply.set(body, 20);
    this.out.push(reply);
  }
}
