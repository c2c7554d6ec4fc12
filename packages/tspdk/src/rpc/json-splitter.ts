/**
 * Finds where JSON values begin and end in a stream of bytes that has no framing.
 *
 * SPDK's clients send objects one after the other, with or without white space between them, in pieces of any size. Each
 * byte is looked at once, over all pieces: the state survives from piece to piece. The order of brackets, keys, colons,
 * commas and values is checked on the way, so that garbage is refused at its first byte and not when the peer
 * happens to close a bracket; what stands inside strings and numbers is left to the parser.
 */
import { limits } from '../env/limits.ts';

/** One complete top-level value. */
export interface JsonText {
  readonly text: string;
  /** Has a number of 16 digits or more: JSON.parse may round it. */
  readonly longNumber: boolean;
}

/** Why the stream cannot go on. */
export type JsonStreamError = 'syntax' | 'depth' | 'size' | 'utf8';

// What may come next.
const VALUE = 0;
const VALUE_OR_END = 1;
const KEY_OR_END = 2;
const KEY = 3;
const COLON = 4;
const COMMA_OR_END = 5;
const IN_STRING = 6;
const IN_ESCAPE = 7;
const IN_WORD = 8;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON_SIGN = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const LONG_NUMBER_DIGITS = 16;

const NOTHING = new Uint8Array(0);
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class JsonSplitter {
  readonly #maxBytes: number;
  /** Brackets that are open, as their opening byte. */
  readonly #open = new Uint8Array(limits.json_nesting_max);
  #depth = 0;
  #state = VALUE;
  /** The string being read is a key. */
  #isKey = false;
  #digits = 0;
  #longNumber = false;
  #ascii = true;
  /** Earlier pieces of the value being read, copied into a buffer that doubles: tiny pieces must not cost an object each. */
  #held: Uint8Array = NOTHING;
  #heldBytes = 0;
  #chunk: Uint8Array = NOTHING;
  /** Next byte to look at. */
  #at = 0;
  /** First byte of the value being read, in this chunk; -1 between values. */
  #start = -1;
  /** Set once the stream is broken; nothing is found after it. */
  error: JsonStreamError | null = null;

  constructor(maxBytes: number = limits.rpc_request_bytes_max) {
    this.#maxBytes = maxBytes;
  }

  /** Whether a value has begun and not ended. */
  get partial(): boolean {
    return this.#start >= 0 || this.#heldBytes > 0;
  }
  /** Bytes held: of the value being read, and of the chunk not looked at yet. */
  get heldBytes(): number {
    return this.#heldBytes + this.#chunk.length - Math.max(0, this.#start >= 0 ? this.#start : this.#at);
  }

  /** Takes the next piece. Only after `next` returned null; the bytes may be reused once `next` returned null again. */
  push(chunk: Uint8Array): void {
    if (this.error !== null) return;
    this.#chunk = chunk;
    this.#at = 0;
    this.#start = this.#heldBytes > 0 ? 0 : -1;
  }

  /** The next complete value, or null: more is needed, or `error` is set. */
  next(): JsonText | null {
    if (this.error !== null) return null;
    const chunk = this.#chunk;
    const length = chunk.length;
    while (this.#at < length) {
      const byte = chunk[this.#at];
      if (byte >= 0x80) this.#ascii = false;
      if (this.#state >= IN_STRING) {
        if (this.#inside(byte)) return this.#finish();
      } else if (!isSpace(byte)) {
        if (this.#start < 0) this.#start = this.#at;
        this.#at++;
        if (this.#outside(byte)) return this.#finish();
      } else this.#at++;
      if (this.#start >= 0 && this.#heldBytes + this.#at - this.#start > this.#maxBytes) this.error = 'size';
      if (this.error !== null) {
        this.#drop();
        return null;
      }
    }
    this.#keep();
    return null;
  }

  /** The end of the stream: a number or word at top level ends with it. */
  end(): JsonText | null {
    if (this.error !== null || !this.partial) return null;
    if (this.#state === IN_WORD && this.#depth === 0) return this.#finish();
    this.error = 'syntax';
    this.#drop();
    return null;
  }

  /** The stream is broken: nothing of it is needed any more. */
  #drop(): void {
    this.#reset();
    this.#chunk = NOTHING;
    this.#at = 0;
  }

  /** A byte within a string or word. True: the top-level value is complete. */
  #inside(byte: number): boolean {
    if (this.#state === IN_WORD) {
      if (isWord(byte)) {
        if (byte >= 0x30 && byte <= 0x39 && ++this.#digits >= LONG_NUMBER_DIGITS) this.#longNumber = true;
        this.#at++;
        return false;
      }
      // The byte that ends a word is not part of it, and is looked at again.
      this.#state = COMMA_OR_END;
      return this.#depth === 0;
    }
    this.#at++;
    if (this.#state === IN_ESCAPE) this.#state = IN_STRING;
    else if (byte === BACKSLASH) this.#state = IN_ESCAPE;
    else if (byte === QUOTE) {
      this.#state = this.#isKey ? COLON : COMMA_OR_END;
      return this.#depth === 0;
    }
    return false;
  }

  /** A byte between strings and words, not white space. True: the top-level value is complete. */
  #outside(byte: number): boolean {
    switch (byte) {
      case QUOTE:
        if (this.#state === COLON || this.#state === COMMA_OR_END) break;
        this.#isKey = this.#state === KEY || this.#state === KEY_OR_END;
        this.#state = IN_STRING;
        return false;
      case OPEN_OBJECT:
      case OPEN_ARRAY:
        if (this.#state !== VALUE && this.#state !== VALUE_OR_END) break;
        if (this.#depth === limits.json_nesting_max) {
          this.error = 'depth';
          return false;
        }
        this.#open[this.#depth++] = byte;
        this.#state = byte === OPEN_OBJECT ? KEY_OR_END : VALUE_OR_END;
        return false;
      case CLOSE_OBJECT:
        if (this.#state !== KEY_OR_END && this.#state !== COMMA_OR_END) break;
        return this.#close(OPEN_OBJECT);
      case CLOSE_ARRAY:
        if (this.#state !== VALUE_OR_END && this.#state !== COMMA_OR_END) break;
        return this.#close(OPEN_ARRAY);
      case COMMA:
        if (this.#state !== COMMA_OR_END) break;
        this.#state = this.#open[this.#depth - 1] === OPEN_OBJECT ? KEY : VALUE;
        return false;
      case COLON_SIGN:
        if (this.#state !== COLON) break;
        this.#state = VALUE;
        return false;
      default:
        if ((this.#state !== VALUE && this.#state !== VALUE_OR_END) || !isWordStart(byte)) break;
        this.#state = IN_WORD;
        this.#digits = byte >= 0x30 && byte <= 0x39 ? 1 : 0;
        return false;
    }
    this.error = 'syntax';
    return false;
  }

  #close(opened: number): boolean {
    if (this.#depth === 0 || this.#open[this.#depth - 1] !== opened) {
      this.error = 'syntax';
      return false;
    }
    this.#depth--;
    this.#state = COMMA_OR_END;
    return this.#depth === 0;
  }

  /** Cuts the value out and starts over. */
  #finish(): JsonText | null {
    const last = this.#chunk.subarray(Math.max(0, this.#start), this.#at);
    const bytes = this.#heldBytes === 0 ? last : Buffer.concat([this.#held.subarray(0, this.#heldBytes), last]);
    const longNumber = this.#longNumber;
    const ascii = this.#ascii;
    this.#reset();
    if (bytes.length > this.#maxBytes) return this.#fail('size');
    if (ascii)
      return { text: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'), longNumber };
    try {
      return { text: decoder.decode(bytes), longNumber };
    } catch {
      return this.#fail('utf8');
    }
  }

  #fail(error: JsonStreamError): null {
    this.error = error;
    this.#drop();
    return null;
  }

  #reset(): void {
    this.#held = NOTHING;
    this.#heldBytes = 0;
    this.#start = -1;
    this.#depth = 0;
    this.#state = VALUE;
    this.#longNumber = false;
    this.#ascii = true;
  }

  #hold(piece: Uint8Array, bytes: number): void {
    if (bytes > this.#held.length) {
      const grown = new Uint8Array(Math.max(bytes, 2 * this.#held.length));
      grown.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = grown;
    }
    this.#held.set(piece, this.#heldBytes);
    this.#heldBytes = bytes;
  }

  /** The chunk is used up: keeps what belongs to the value being read. */
  #keep(): void {
    if (this.#start >= 0) {
      const piece = this.#chunk.subarray(this.#start);
      this.#hold(piece, this.#heldBytes + piece.length);
    }
    this.#chunk = NOTHING;
    this.#at = 0;
    this.#start = this.#heldBytes > 0 ? 0 : -1;
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Minus, digits, and the first letters of true, false, null. */
function isWordStart(byte: number): boolean {
  return byte === 0x2d || (byte >= 0x30 && byte <= 0x39) || byte === 0x74 || byte === 0x66 || byte === 0x6e;
}

/** Bytes of numbers and of true, false, null. */
function isWord(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2d ||
    byte === 0x2e ||
    byte === 0x2b ||
    byte === 0x45
  );
}
