// A client of a connection under test, past its handshake: it asks, and pairs the answers with what it asked.

import assert from 'node:assert/strict';
import {
  cat,
  clientFlags,
  type Expected,
  go,
  metaContext,
  option,
  type Reply,
  ReplyReader,
  type RequestFields,
  readReplies,
  request,
} from './client.sim.ts';
import type { Connection } from './connection.ts';
import type { FakeSock, World } from './fakes.sim.ts';

const DISC = 2;

/** A client that has entered the transmission phase. */
export class Session {
  readonly world: World;
  readonly sock: FakeSock;
  readonly connection: Connection;
  readonly structured: boolean;
  readonly #expected = new Map<bigint, Expected>();
  #cookie = 0x1_2345_6789n;

  constructor(world: World, structured = false, name = '') {
    this.world = world;
    this.structured = structured;
    const { sock, connection } = world.connect();
    this.sock = sock;
    this.connection = connection;
    sock.say(clientFlags(3));
    if (structured) sock.say(cat(option(8), metaContext(10, name, ['base:allocation'])));
    sock.say(go(name));
    world.settle();
    assert.equal(connection.inHandshake, false);
    sock.output.length = 0;
  }

  bytes(fields: RequestFields): Uint8Array {
    const cookie = fields.cookie === undefined ? this.#cookie++ : BigInt(fields.cookie);
    const length = fields.length ?? fields.data?.length ?? 0;
    this.#expected.set(cookie, { type: fields.type, offset: Number(fields.offset ?? 0), length });
    return request({ ...fields, cookie });
  }
  say(fields: RequestFields): bigint {
    this.sock.say(this.bytes(fields));
    return this.#cookie - 1n;
  }
  /** Everything heard so far. */
  replies(): Map<bigint, Reply> {
    return readReplies(new ReplyReader(this.sock.heard()), this.structured, this.#expected);
  }
  ask(fields: RequestFields): Reply {
    const cookie = this.say(fields);
    this.world.settle();
    const reply = this.replies().get(cookie);
    assert.ok(reply !== undefined, `request of type ${fields.type} was answered`);
    return reply;
  }
  error(fields: RequestFields): number {
    return this.ask(fields).error;
  }
  disconnect(): void {
    this.say({ type: DISC });
    this.world.settle();
  }
}
