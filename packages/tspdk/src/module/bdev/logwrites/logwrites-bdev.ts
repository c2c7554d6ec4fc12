/**
 * A disk that keeps a log of all that changes it, on a second disk, in the format of Linux's dm-log-writes: to look afterwards at the disk as it was at any moment, which is how
 * file systems and databases are tested for crashes. Reads and data are those of the disk below.
 *
 * There is one order, so there is one place: the disk lives on the app core, and other cores' I/O is carried there. When the log is full, what would change the disk
 * gets -ENOSPC and is not carried out. The superblock counts what was logged up to the last flush or mark, and all of it once the disk has been removed; when the
 * application stops with the disk still there, the log's disk is already going and keeps the count of the last flush or mark.
 */
import {
  BaseBdev,
  type BaseRef,
  type BdevBackend,
  type BdevDesc,
  type BdevModule,
  type BdevSpec,
  bdevRegistry,
  dropSegment,
  IO_FLUSH,
  IO_READ,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  ioTypes,
  type NewBdev,
  openBase,
  openChannels,
  registerBdevModule,
  shareSegment,
} from '../../../bdev/index.ts';
import { codeOfErrno, SpdkError } from '../../../env/errors.ts';
import { localKey, type Reactor } from '../../../event/reactor.ts';
import { LogWritesChannel } from './log-channel.ts';
import { isLogSectorSize, LOG_ENTRY_BYTES, LOG_MARK_FLAG } from './log-format.ts';
import { LogState, logMemoryBytes } from './log-state.ts';

export interface LogWritesBdevParams {
  readonly name: string;
  readonly base_bdev_name: string;
  /** What it held is lost. */
  readonly log_bdev_name: string;
  /** Default: a new one. */
  readonly uuid?: string | undefined;
}

/** What crosses to the home core. */
interface LogWritesData {
  readonly base: BaseRef;
  readonly log: BaseRef;
  readonly sectorSize: number;
  readonly segment: number;
}

const TYPES = ioTypes(IO_READ, IO_WRITE, IO_UNMAP, IO_FLUSH, IO_WRITE_ZEROES);

/** The backends of this reactor, by disk. */
const backends = localKey('bdev_logwrites', () => new Map<string, LogWritesBackend>());

class LogWritesBackend implements BdevBackend {
  readonly #name: string;
  readonly #reactor: Reactor;
  readonly #base: BdevDesc;
  readonly #log: BdevDesc;
  readonly #state: LogState;
  /** For marks and superblocks that nobody's I/O asks for. */
  readonly #own: LogWritesChannel;

  constructor(spec: BdevSpec, reactor: Reactor) {
    const { base, log, sectorSize, segment } = spec.data as LogWritesData;
    this.#name = spec.name;
    this.#reactor = reactor;
    const opened: BdevDesc[] = [];
    const open = (ref: BaseRef): BdevDesc => {
      const desc = openBase(ref, reactor);
      opened.push(desc);
      return desc;
    };
    try {
      this.#base = open(base);
      this.#log = open(log);
      this.#state = new LogState(sectorSize, this.#log.bdev.sizeBytes, reactor.segments.get(segment));
      this.#own = this.createChannel();
    } catch (error) {
      for (const desc of opened) desc.close();
      throw error;
    }
    reactor.local(backends).set(spec.name, this);
  }

  createChannel(): LogWritesChannel {
    return new LogWritesChannel(...openChannels(this.#base, this.#log), this.#state);
  }

  /** There is room for more. */
  grow(logBytes: number): void {
    this.#state.tail.grow(logBytes);
  }

  /** Writes the superblock. @throws {SpdkError} what the log's disk says; ENOMEM */
  async saveSuper(): Promise<void> {
    await this.#ask((op, onDone) => {
      op.onDone = onDone;
      this.#state.saveSuper(op);
    });
  }

  /** Appends a mark. @throws {SpdkError} ENAMETOOLONG, ENOSPC, ENOMEM, EIO */
  async mark(label: string): Promise<void> {
    const room = this.#state.tail.sectorSize - LOG_ENTRY_BYTES;
    if (Buffer.byteLength(label) > room) throw new SpdkError('ENAMETOOLONG', `a mark has at most ${room} bytes`);
    const { broken } = this.#state;
    if (broken !== 0) throw new SpdkError(codeOfErrno(-broken), `the log of "${this.#name}" could not be written`);
    if (!this.#state.hasRoom(LOG_MARK_FLAG, 0)) throw new SpdkError('ENOSPC', `the log of "${this.#name}" is full`);
    await this.#ask((op, onDone) => this.#own.mark(op, label, onDone));
  }

  async #ask(begin: (op: NonNullable<ReturnType<LogState['take']>>, onDone: (status: number) => void) => void) {
    const op = this.#state.take(this.#own, LOG_MARK_FLAG, 0);
    if (op === null) throw new SpdkError('ENOMEM', `the log of "${this.#name}" is busy`);
    const status = await new Promise<number>((resolve) => {
      begin(op, resolve);
      this.#reactor.kick();
    });
    if (status !== 0) throw new SpdkError(codeOfErrno(-status), `the log of "${this.#name}" cannot be written`);
  }

  async close(): Promise<void> {
    this.#reactor.local(backends).delete(this.#name);
    // A log whose disk is going keeps the superblock of its last flush.
    await this.saveSuper().catch(() => {});
    this.#own.close();
    this.#base.close();
    this.#log.close();
  }
}

/** Appends a mark to a disk's log, and has the superblock count it. App core. @throws {SpdkError} ENODEV, ENAMETOOLONG, ENOSPC, ENOMEM, EIO */
export async function markLogWrites(reactor: Reactor, name: string, label: string): Promise<void> {
  const backend = reactor.local(backends).get(name);
  if (backend === undefined) throw new SpdkError('ENODEV', `no logwrites bdev named "${name}"`);
  await backend.mark(label);
}

function checkSectors(base: BaseBdev, log: BaseBdev): number {
  const sectorSize = log.bdev.blockSizeBytes;
  const { blockSizeBytes } = base.bdev;
  if (!isLogSectorSize(sectorSize) || blockSizeBytes % sectorSize !== 0) {
    throw new SpdkError('EINVAL', `blocks of ${blockSizeBytes} bytes cannot be logged in sectors of ${sectorSize}`);
  }
  return sectorSize;
}

const baseNames = (spec: Pick<BdevSpec, 'data'>) => {
  const { base, log } = spec.data as LogWritesData;
  return { base_bdev_name: base.name, log_bdev_name: log.name };
};

export const logWritesModule: BdevModule<LogWritesBdevParams> = registerBdevModule<LogWritesBdevParams>({
  name: 'logwrites',

  async create({ name, base_bdev_name, log_bdev_name, uuid }: LogWritesBdevParams, reactor: Reactor): Promise<NewBdev> {
    const bases: BaseBdev[] = [];
    try {
      const base = BaseBdev.open(reactor, base_bdev_name, {
        onResize: ({ blocks }) => bdevRegistry(reactor).follow(name, blocks),
      });
      bases.push(base);
      const log = BaseBdev.open(reactor, log_bdev_name, {
        onResize: ({ sizeBytes }) => reactor.local(backends).get(name)?.grow(sizeBytes),
      });
      bases.push(log);
      const sectorSize = checkSectors(base, log);
      const { bdev } = base;
      const segment = await shareSegment(reactor, logMemoryBytes(sectorSize));
      return {
        name,
        uuid,
        productName: 'Logged writes',
        blockSizeBytes: bdev.blockSizeBytes,
        blocks: bdev.blocks,
        writable: bdev.writable,
        ioTypes: bdev.ioTypes & TYPES,
        volatileCache: bdev.volatileCache,
        homeCore: reactor.core,
        limits: bdev.limits,
        bases,
        data: { base: base.ref, log: log.ref, sectorSize, segment } satisfies LogWritesData,
      };
    } catch (error) {
      for (const each of bases) each.close();
      throw error;
    }
  },

  async attach(spec: BdevSpec, reactor: Reactor): Promise<BdevBackend> {
    const backend = new LogWritesBackend(spec, reactor);
    try {
      // What the log's disk held is no log any more.
      await backend.saveSuper();
      return backend;
    } catch (error) {
      await backend.close();
      throw error;
    }
  },

  destroy: (spec, reactor: Reactor) => dropSegment(reactor, (spec.data as LogWritesData).segment),
  dumpInfo: (spec: BdevSpec) => ({ logwrites: { name: spec.name, ...baseNames(spec) } }),

  configCalls: (spec: BdevSpec) => [
    { method: 'bdev_logwrites_create', params: { name: spec.name, ...baseNames(spec), uuid: spec.uuid } },
  ],
});
