/**
 * Who may have the last BdevIos of a core's pool (bdev-io.ts), the last of its large buffers (env/iobuf.ts) and the last blocks of the shared heap (heap-reserve.ts), so that no load can hang.
 *
 * An I/O that is done by others (in pieces, emulated, by the members of a RAID disk, on another core) holds its BdevIo until those have ended, and each of those needs one too. If all could take
 * any, such I/Os alone would fill a pool, each of them waiting for what only the others can give back. So whatever is borrowed has a rank, and **who holds something waits for what has a
 * lower rank, and for nothing else of a pool**:
 *
 * - First counts the disk's level: a disk that stands on nothing is of level 0, every other one above all that it stands on (new-spec.ts).
 * - Within a level counts the place, PLACE_*: an I/O that a disk above, or its module's control path, has submitted; below it what a fault, an emulation, protection, splitting and alignment make
 *   of it, which follow each other in this order and no other (carry-out.ts); at last what was carried to the disk's home core. A buffer that is held at a place comes between that place and the next
 *   higher one: who has it waits for the children of that place. A module's own buffer (verify) is below all BdevIos of its disk and above all of the disks below. The block of the shared heap
 *   with which an I/O is carried comes just above what that is at home; that of a lock between the emulation that holds it and the children of that.
 * - Above all ranks is what comes from outside of the disks: targets, jobs, examiners. Nothing waits for it but its submitter.
 *
 * **The rule.** A BdevIo of rank r is given only while more than r are left; one for the outside only while more are left than there are ranks. The pool is larger by the number of ranks than it
 * is asked to be, so that its size is what the outside gets. A buffer of rank r may be the reserve's, of which there is one a rank, and so may a block.
 *
 * **Why nothing waits for ever.** Of all that is held on all cores take the lowest rank, m; who holds it, h, waits for nobody who holds something lower. If h waits for a BdevIo, of rank r < m, on some
 * core: whoever was the last to get one there of those that are held had a rank of at least m, and so left m or more; since then only what has come back meanwhile was taken. So more than r are left, and
 * h gets one: nobody of its rank waits ahead of it for long, as they get theirs too, and a waiter of another rank is not asked (`BdevIoPool.wake`). If h waits for a buffer or a block, of rank b < m,
 * the reserve's is there, as nothing below m is held. Else h waits for the machine, for a timer, or for a range or a turn that another one of its rank has (lba-lock.ts; a verify disk's order), and those follow each other in
 * one order. So h ends, and by induction everything does that is held; then the outside is served, first come, first served.
 *
 * Why a disk's module asks at the right rank: it opens what it stands on with `openBase`, and its level is above. One that opens a disk otherwise, or does not name it in `bases`, is the outside to the pool,
 * and its I/Os may wait for each other. Nor is a remote disk counted in that this application itself exports.
 */

/** Arrived on the home core; the module's own buffer. */
export const PLACE_CARRIED = 0;
/** Through aligned memory. */
export const PLACE_ALIGNED = 1;
/** A piece. */
export const PLACE_SPLIT = 2;
/** With its metadata looked at. */
export const PLACE_PROTECTED = 3;
/** What an emulation consists of. */
export const PLACE_EMULATED = 4;
/** What a fault has left of an I/O. */
export const PLACE_FAULT = 5;
/** From a disk above. */
export const PLACE_SUBMITTED = 6;
/** BdevIos. */
export const RANKS_OF_LEVEL = 7;
/** Buffers: as the places, but that nothing is split through one, and what a fault or a disk above asks for has none. */
export const BUFFERS_OF_LEVEL = 4;
/** Blocks of the shared heap: a carried I/O's, and a lock's. */
const BLOCKS_OF_LEVEL = 2;
/** Of what does not come from a disk. */
export const RANK_OUTSIDE = 0x3fff_ffff;

/** Of none. */
export const NO_RANK = -1;

export interface Levelled {
  readonly level: number;
}

/** Of a BdevIo for a disk. */
export function ioRank({ level }: Levelled, place: number): number {
  return RANKS_OF_LEVEL * level + place;
}

/** Of the buffer that is needed for children of `place`, or for the module itself: PLACE_CARRIED. */
export function bufferRank({ level }: Levelled, place: number): number {
  return BUFFERS_OF_LEVEL * level + (place > PLACE_SPLIT ? place - 1 : place);
}

/** Of the block with which an I/O of the disk is carried to its home core. */
export function carriedBlockRank({ level }: Levelled): number {
  return BLOCKS_OF_LEVEL * level;
}

/** Of the block of a lock that an I/O of the disk needs. */
export function lockBlockRank({ level }: Levelled): number {
  return BLOCKS_OF_LEVEL * level + 1;
}
