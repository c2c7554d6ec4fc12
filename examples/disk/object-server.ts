// A small object server for disk/object-store: GET, PUT and DELETE of anything, kept in memory.
//
//     npm run example -- disk/object-server [PORT]
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';

/** Listens on `port` of the loopback address; 0 is any free one. */
export async function startObjectServer(
  port: number,
): Promise<{ server: Server; url: string; objects: Map<string, Buffer> }> {
  const objects = new Map<string, Buffer>();
  const server = createServer(async (request, response) => {
    const name = request.url ?? '/';
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const found = objects.get(name);
    if (request.method === 'PUT') objects.set(name, Buffer.concat(parts));
    else if (request.method === 'DELETE') objects.delete(name);
    response.writeHead(request.method === 'GET' && found === undefined ? 404 : 200);
    response.end(request.method === 'GET' ? found : undefined);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, objects };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await startObjectServer(Number(process.argv[2] ?? 9000));
  console.log(`objects at ${url}; stop: Ctrl-C`);
}
