/**
 * What can be asked of a block device, and the flags of a request.
 *
 * Numbers and names are SPDK's (enum spdk_bdev_io_type, spdk_bdev_get_io_type_name): clients of `bdev_get_bdevs` read the names.
 * Sets of types are bit masks of `1 << type`.
 */
/** A type of I/O: `read`, `readv`. */
export const IO_READ = 1;
/** A type of I/O: `write`, `writev`. */
export const IO_WRITE = 2;
/** A type of I/O: `unmap`. */
export const IO_UNMAP = 3;
/** A type of I/O: `flush`. */
export const IO_FLUSH = 4;
/** A type of I/O: `reset`. */
export const IO_RESET = 5;
/** A type of I/O: `writeZeroes`. */
export const IO_WRITE_ZEROES = 9;
/** No I/O, but an ability: the disk is memory, which `zcopy` names, and takes any bytes. */
export const IO_ZCOPY = 10;
/** A type of I/O: `comparev`. */
export const IO_COMPARE = 14;
/** A type of I/O: `comparevAndWritev`. */
export const IO_COMPARE_AND_WRITE = 15;
/** A type of I/O: `abort`. */
export const IO_ABORT = 16;
/** A type of I/O that no disk here has: `blockStatus` tells more. */
export const IO_SEEK_HOLE = 17;
/** As IO_SEEK_HOLE. */
export const IO_SEEK_DATA = 18;
/** A type of I/O: `copy`, within the disk. */
export const IO_COPY = 19;

/** Names by number, in SPDK's order; types that the kit does not have yet are listed so that clients find every key. */
export const IO_TYPE_NAMES: readonly string[] = [
  '',
  'read',
  'write',
  'unmap',
  'flush',
  'reset',
  'nvme_admin',
  'nvme_io',
  'nvme_io_md',
  'write_zeroes',
  'zcopy',
  'get_zone_info',
  'zone_management',
  'zone_append',
  'compare',
  'compare_and_write',
  'abort',
  'seek_hole',
  'seek_data',
  'copy',
  'nvme_iov_md',
];

/** The mask of some types. */
export function ioTypes(...types: readonly number[]): number {
  let mask = 0;
  for (const type of types) mask |= 1 << type;
  return mask;
}

/** Complete only when the data is on stable storage (write, write zeroes). */
export const IO_FLAG_FUA = 1;
/** Zeroes must not become a hole: the space stays allocated (write zeroes). */
export const IO_FLAG_NO_HOLE = 2;
/** The layer's own mark: carried out by other I/Os, which are what is counted. */
export const IO_FLAG_EMULATED = 1 << 8;

/** The layer's own mark: the protection information is checked by who submitted it. */
export const IO_FLAG_CHECKED = 1 << 9;
/** The layer's own mark: the memory holds data alone, of a disk with metadata. */
export const IO_FLAG_BARE = 1 << 10;
/** The layer's own mark: a part of an I/O that is counted itself. */
export const IO_FLAG_PART = 1 << 11;
/** Not counted in the disk that it was submitted to. */
export const IO_FLAGS_UNCOUNTED = IO_FLAG_EMULATED | IO_FLAG_PART;
/** From here on a mark of who wants to know when the I/O takes long: io-timeout.ts. */
export const IO_FLAG_MARK_SHIFT = 16;
export const IO_FLAG_MARK_BITS = 12;
/** What a disk below is told of an I/O's flags. */
export const IO_FLAGS_PASSED = IO_FLAG_FUA | IO_FLAG_NO_HOLE | IO_FLAG_CHECKED;
/** What an I/O that the layer makes of another has of its flags. */
export const IO_FLAGS_KEPT = IO_FLAGS_PASSED | IO_FLAG_BARE;

/** What changes data, and so needs a descriptor that may write. */
export const MODIFYING_TYPES = ioTypes(IO_WRITE, IO_UNMAP, IO_WRITE_ZEROES, IO_COMPARE_AND_WRITE, IO_COPY);
/** What changes data without a lock of its own: a lock of the range holds it back. */
export const LOCKED_TYPES = ioTypes(IO_WRITE, IO_UNMAP, IO_WRITE_ZEROES, IO_COPY);
