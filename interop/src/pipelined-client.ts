// Many requests at once on one connection, each answered to whoever sent it, in whatever order the replies come.

import type { Server } from './nbd-server.ts';
import { command, RawClient, type Request } from './raw-client.ts';

const replyMagic = 0x67446698;

interface Waiting {
  readonly bytes: number;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

export interface Reply {
  readonly error: number;
  readonly data: Buffer;
}

export class PipelinedClient {
  readonly #raw: RawClient;
  readonly #waiting = new Map<bigint, Waiting>();

  private constructor(raw: RawClient) {
    this.#raw = raw;
    this.#readReplies().catch((error: Error) => {
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
  }

  static async open(server: Server): Promise<PipelinedClient> {
    return new PipelinedClient(await RawClient.open(server));
  }

  /** Sends a request; resolves to its reply. Rejects when the connection ends before. */
  request(request: Request): Promise<Reply> {
    const cookie = this.#raw.sendRequest(request);
    const bytes = request.type === command.read ? (request.length ?? 0) : 0;
    return new Promise((resolve, reject) => this.#waiting.set(cookie, { bytes, resolve, reject }));
  }

  close(): void {
    this.#raw.close();
  }

  async #readReplies(): Promise<never> {
    for (;;) {
      const header = await this.#raw.receive(16, Number.POSITIVE_INFINITY);
      if (header.readUInt32BE(0) !== replyMagic) throw new Error(`a reply that begins with ${header.toString('hex')}`);
      const cookie = header.readBigUInt64BE(8);
      const waiting = this.#waiting.get(cookie);
      if (waiting === undefined) throw new Error(`a reply to ${cookie}, which nobody waits for`);
      const error = header.readUInt32BE(4);
      const data = error === 0 ? Buffer.from(await this.#raw.receive(waiting.bytes)) : Buffer.alloc(0);
      this.#waiting.delete(cookie);
      waiting.resolve({ error, data });
    }
  }
}
