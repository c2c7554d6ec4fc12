// One JSON-RPC call over a unix socket, written without the kit's own client, which is what would otherwise be tested with itself.

import { once } from 'node:events';
import { connect } from 'node:net';

/** Calls `method` and resolves to its result. Rejects with the error's text when it answers with one. */
export async function rpcCall<Result>(path: string, method: string, params?: object): Promise<Result> {
  const socket = connect({ path });
  await once(socket, 'connect');
  try {
    socket.write(JSON.stringify({ jsonrpc: '2.0', id: 1, method, ...(params === undefined ? {} : { params }) }));
    let text = '';
    for await (const chunk of socket.setEncoding('utf8')) {
      text += chunk;
      // Replies have no framing: it is whole when it can be read.
      const reply = readWhole(text);
      if (reply === undefined) continue;
      if (reply.error !== undefined) throw new Error(`${method}: ${JSON.stringify(reply.error)}`);
      return reply.result as Result;
    }
    throw new Error(`${method}: the connection ended after ${text.length} bytes`);
  } finally {
    socket.destroy();
  }
}

function readWhole(text: string): { readonly result?: unknown; readonly error?: unknown } | undefined {
  try {
    return JSON.parse(text) as { result?: unknown; error?: unknown };
  } catch {
    return undefined;
  }
}
