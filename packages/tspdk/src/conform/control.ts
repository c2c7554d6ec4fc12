/** What the checks have other cores do. Every reactor loads this file. */
import { BdevDesc } from '../bdev/index.ts';
import { defineControl } from '../event/control.ts';

export const conformModuleUrl = import.meta.url;

interface ReadRequest {
  readonly name: string;
  readonly segment: number;
  readonly at: number;
  readonly bytes: number;
}

/** Reads the start of a disk into shared memory. The status. */
export const readThere = defineControl('conform.read', async (request: ReadRequest, reactor): Promise<number> => {
  const { name, segment, at, bytes } = request;
  const desc = BdevDesc.open(name, { write: false, hideMetadata: true, reactor, onEvent: () => {} });
  try {
    return await new Promise<number>((resolve) => {
      const channel = desc.getIoChannel();
      const rc = channel.read(reactor.segments.get(segment), at, 0, bytes, (_, status) => resolve(status), null);
      if (rc !== 0) resolve(rc);
    });
  } finally {
    desc.close();
  }
});
