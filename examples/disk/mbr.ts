// The partitions of an MBR as disks: a kind of disk of one's own that finds its disks on others, as GPT does.
//
//     npx tspdk rpc bdev_disk_load_module --module $PWD/examples/dist/disk/mbr.js
//
// Once it is loaded `examine` is asked about every disk. What it finds are disks of this file: `create` opens the disk and claims it, for all partitions together; `attach` opens it on every
// reactor; I/O goes on to it, some bytes further on.
import {
  type Bdev,
  type BdevChannel,
  type BdevDesc,
  defineBdevModule,
  type ExaminedDisk,
  forwardIo,
  forwardReset,
  IO_FLUSH,
  IO_UNMAP,
  IO_WRITE,
  IO_WRITE_ZEROES,
  type IoTypeName,
  type ModuleBackend,
  type ModuleChannel,
  type ModuleIo,
  openBase,
  type ResetDone,
  SpdkError,
  sharedBase,
} from 'tspdk';

// The table ends the first 512 bytes, whatever the disk's blocks are; it counts in blocks.
const TABLE_BYTES = 512;

/** What one is made from: found in a table, or said with `--option`. */
interface Partition {
  readonly base: string;
  readonly offset: number;
  readonly bytes: number;
}

/** The four of a table, but for those that are empty, that hold more of them (5, 15), and that which stands before a GPT (0xee). */
function partitionsOf(table: DataView, { name, blockSizeBytes }: Bdev): [number, Partition][] {
  const found: [number, Partition][] = [];
  for (let number = 1, at = 446; number <= 4; number++, at += 16) {
    const type = table.getUint8(at + 4);
    const first = table.getUint32(at + 8, true);
    const blocks = table.getUint32(at + 12, true);
    if (blocks === 0 || [0, 5, 15, 0xee].includes(type)) continue;
    found.push([number, { base: name, offset: first * blockSizeBytes, bytes: blocks * blockSizeBytes }]);
  }
  return found;
}

async function examine(disk: ExaminedDisk<Partition>): Promise<void> {
  const { bdev } = disk;
  const { buffer, byteOffset } = await disk.read(0, TABLE_BYTES);
  const table = new DataView(buffer, byteOffset, TABLE_BYTES);
  if (table.getUint16(510, true) !== 0xaa55) return;
  for (const [number, options] of partitionsOf(table, bdev)) {
    await disk.create({ name: `${bdev.name}p${number}`, options });
  }
}

/** What the disk below takes of what can be passed on. */
function ioTypesOf(base: Bdev): IoTypeName[] {
  const types = { write: IO_WRITE, flush: IO_FLUSH, unmap: IO_UNMAP, write_zeroes: IO_WRITE_ZEROES } as const;
  const names = Object.keys(types) as (keyof typeof types)[];
  return ['read', ...names.filter((name) => base.ioTypeSupported(types[name]))];
}

class Channel implements ModuleChannel {
  readonly #base: BdevChannel;
  readonly #offset: number;

  constructor(base: BdevChannel, offset: number) {
    this.#base = base;
    this.#offset = offset;
  }

  submit(io: ModuleIo): void {
    forwardIo(this.#base, io, this.#offset + io.byteOffset);
  }

  reset(done: ResetDone): void {
    forwardReset([this.#base], done);
  }

  close(): void {
    this.#base.close();
  }
}

class Backend implements ModuleBackend {
  readonly #base: BdevDesc;
  readonly #offset: number;

  constructor(base: BdevDesc, offset: number) {
    this.#base = base;
    this.#offset = offset;
  }

  createChannel(): Channel {
    return new Channel(this.#base.getIoChannel(), this.#offset);
  }

  close(): void {
    this.#base.close();
  }
}

export default defineBdevModule({
  name: 'mbr',

  options: ({ base, offset, bytes }): Partition => ({
    base: String(base),
    offset: Number(offset),
    bytes: Number(bytes),
  }),

  create({ name, options: { base: on, offset, bytes } }, reactor) {
    // The first partition opens and claims the disk, the others share that.
    const base = sharedBase(reactor, 'mbr', on);
    const { sizeBytes, blockSizeBytes } = base.bdev;
    if (!(offset >= 0 && offset + bytes <= sizeBytes && offset % blockSizeBytes === 0)) {
      base.close();
      throw new SpdkError('EINVAL', `"${name}": ${bytes} bytes at ${offset}; "${on}" has ${sizeBytes}`);
    }
    const data = { base: base.ref, offset };
    return { sizeBytes: bytes, blockSizeBytes, ioTypes: ioTypesOf(base.bdev), bases: [base], data };
  },

  attach: ({ data }, reactor) => new Backend(openBase(data.base, reactor), data.offset),

  examine,
});
