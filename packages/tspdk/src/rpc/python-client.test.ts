/**
 * A client in another language, written in the manner of SPDK's rpc.py: requests as indented JSON one after the other, no framing, the
 * answer decoded as soon as the bytes make a value. What works for it works for rpc.py, which does the same on the wire.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SpdkError } from '../env/errors.ts';
import { RPC_RUNTIME, RPC_STARTUP, RpcRegistry } from './registry.ts';
import { RpcServer } from './server.ts';

const CLIENT = String.raw`
import json, socket, sys

class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.text = ""
        self.last = 0

    def request(self, method, params=None):
        self.last += 1
        request = {"jsonrpc": "2.0", "method": method, "id": self.last}
        if params:
            request["params"] = params
        return json.dumps(request, indent=2)

    def answer(self):
        while True:
            try:
                self.text = self.text.lstrip()
                value, end = json.JSONDecoder().raw_decode(self.text)
                self.text = self.text[end:]
                return value
            except ValueError:
                data = self.socket.recv(4096)
                if not data:
                    raise EOFError(self.text)
                self.text += data.decode("utf-8")

    def call(self, method, params=None):
        self.socket.sendall(self.request(method, params).encode())
        return self.answer()

client = Client(sys.argv[1])
out = []
out.append(client.call("echo", {"value": "h\u00e9llo \U0001f600 \"}{"}))
out.append(client.call("unknown"))
out.append(client.call("fail"))
out.append(client.call("echo", {"valeu": "x"}))
out.append(client.call("blob")["result"] == "x" * 200000)
client.socket.sendall("\n".join(client.request("echo", {"value": str(n)}) for n in range(3)).encode())
out.append([client.answer()["result"] for n in range(3)])
client.socket.shutdown(socket.SHUT_RDWR)
print(json.dumps(out))
`;

const python = spawnSync('python3', ['--version']).status === 0;

test('a Python client in the manner of rpc.py', { skip: python ? false : 'python3 is not there' }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'tspdk-rpc-'));
  const registry = new RpcRegistry();
  const states = RPC_STARTUP | RPC_RUNTIME;
  registry.register({
    name: 'echo',
    states,
    params: [{ name: 'value', type: 'string', required: true }],
    summary: '',
    handler: ({ value }) => value,
  });
  registry.register({ name: 'blob', states, params: [], summary: '', handler: () => 'x'.repeat(200_000) });
  registry.register({
    name: 'fail',
    states,
    params: [],
    summary: '',
    handler: async () => {
      throw new SpdkError('ENODEV', "bdev 'x' does not exist");
    },
  });
  const server = await RpcServer.listen(registry, { address: join(dir, 's') });
  t.after(async () => {
    await server.close();
    rmSync(dir, { recursive: true });
  });
  const child = spawn('python3', ['-c', CLIENT, server.address]);
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(code, 0, err);
  assert.deepEqual(JSON.parse(out), [
    { jsonrpc: '2.0', id: 1, result: 'héllo 😀 "}{' },
    { jsonrpc: '2.0', id: 2, error: { code: -32601, message: 'Method not found', data: 'unknown' } },
    { jsonrpc: '2.0', id: 3, error: { code: -19, message: 'No such device', data: "bdev 'x' does not exist" } },
    {
      jsonrpc: '2.0',
      id: 4,
      error: { code: -32602, message: 'Invalid parameters', data: "unknown parameter 'valeu'; known: value" },
    },
    true,
    ['0', '1', '2'],
  ]);
});
