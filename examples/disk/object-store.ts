// A disk in an object store, as S3 is one: an object of 64 KiB for each part of the disk that is not zero, by GET, PUT and DELETE over HTTP.
//
//     npm run example -- disk/object-server
//     npm run example -- disk/object-store --option url=http://127.0.0.1:9000/my-disk
//
// For S3 itself put a client that signs its requests in the place of `fetch`.
import { type DiskOptions, type DiskRequest, defineDisk, SpdkError } from 'tspdk';

const OBJECT = 64 * 1024;
const SIZE = 64 * 1024 * 1024;

class ObjectStore {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  /** The object, or zeroes when there is none. */
  async get(name: number, request: DiskRequest): Promise<Uint8Array> {
    const answer = await fetch(`${this.#url}/${name}`, { signal: request.signal });
    if (answer.status === 404) return new Uint8Array(OBJECT);
    if (!answer.ok) throw refused('GET', name, answer.status);
    return new Uint8Array(await answer.arrayBuffer());
  }

  async put(name: number, body: Uint8Array<ArrayBuffer>, request: DiskRequest): Promise<void> {
    const answer = await fetch(`${this.#url}/${name}`, { method: 'PUT', body, signal: request.signal });
    if (!answer.ok) throw refused('PUT', name, answer.status);
  }

  async remove(name: number, request: DiskRequest): Promise<void> {
    const answer = await fetch(`${this.#url}/${name}`, { method: 'DELETE', signal: request.signal });
    if (!answer.ok && answer.status !== 404) throw refused('DELETE', name, answer.status);
  }
}

/** The code is what the client gets: a full store is ENOSPC there, a forbidden one EPERM. */
function refused(method: string, name: number, status: number): SpdkError {
  const code = status === 507 ? 'ENOSPC' : status === 401 || status === 403 ? 'EPERM' : 'EIO';
  return new SpdkError(code, `${method} of object ${name} answered ${status}`);
}

export default ({ url }: DiskOptions) => {
  if (typeof url !== 'string') throw new SpdkError('EINVAL', 'which store? --option url=http://127.0.0.1:9000/my-disk');
  const store = new ObjectStore(url);

  /** What changes an object, one after the other: two writes to parts of one must not undo each other. */
  const queues = new Map<number, Promise<void>>();
  function inTurn(name: number, change: () => Promise<void>): Promise<void> {
    const turn = (queues.get(name) ?? Promise.resolve()).then(change);
    const settled = turn.catch(() => {});
    queues.set(name, settled);
    void settled.then(() => {
      if (queues.get(name) === settled) queues.delete(name);
    });
    return turn;
  }

  /** The parts of a range, object by object, all at once. */
  async function each(
    offset: number,
    length: number,
    part: (name: number, within: number, bytes: number, at: number) => Promise<void>,
  ): Promise<void> {
    const parts: Promise<void>[] = [];
    for (let at = 0; at < length; ) {
      const within = (offset + at) % OBJECT;
      const bytes = Math.min(OBJECT - within, length - at);
      parts.push(part(Math.floor((offset + at) / OBJECT), within, bytes, at));
      at += bytes;
    }
    // All have ended before the request does, also when one fails: what came later would meet a buffer that is somebody else's by then.
    for (const part of await Promise.allSettled(parts)) if (part.status === 'rejected') throw part.reason;
  }

  /** Changes a part of an object; a whole one is not read first. */
  function merge(name: number, within: number, bytes: Uint8Array, request: DiskRequest): Promise<void> {
    return inTurn(name, async () => {
      const whole = bytes.length === OBJECT ? new Uint8Array(OBJECT) : (await store.get(name, request)).slice();
      whole.set(bytes, within);
      await store.put(name, whole, request);
    });
  }

  const forget = (offset: number, length: number, request: DiskRequest) =>
    each(offset, length, (name, within, bytes) =>
      bytes === OBJECT
        ? inTurn(name, () => store.remove(name, request))
        : merge(name, within, new Uint8Array(bytes), request),
    );

  return defineDisk({
    size: SIZE,
    read: (offset, buffer, request) =>
      each(offset, buffer.length, async (name, within, bytes, at) => {
        const object = await store.get(name, request);
        buffer.set(object.subarray(within, within + bytes), at);
      }),
    // The store has it when it has answered, so there is nothing to flush.
    write: (offset, buffer, request) =>
      each(offset, buffer.length, (name, within, bytes, at) =>
        merge(name, within, buffer.subarray(at, at + bytes), request),
      ),
    trim: forget,
    zero: forget,
  });
};
