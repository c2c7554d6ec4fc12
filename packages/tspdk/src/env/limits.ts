/**
 * Every bound of the kit in one place, units in the names.
 *
 * A queue without a bound is a leak with a delay; a bound without a name is a surprise. What happens when a limit is
 * reached is said beside it. The generated reference prints this table.
 */
export const limits = {
  /** Cores a mask may name; a higher core is refused with EINVAL (SPDK: SPDK_CPUSET_SIZE 1024). */
  cores_max: 1024,
  /** Reactors of one application; more is refused with EINVAL. */
  reactors_max: 64,
  /** Events one mailbox (one pair of cores) holds; past it the sender keeps an overflow list. Power of two. */
  mailbox_events: 8192,
  /** Events that wait at the sender when a mailbox is full; past it the send throws ENOMEM. */
  mailbox_overflow_events: 1 << 20,
  /**
   * Events taken from one source in one turn (SPDK: SPDK_EVENT_BATCH_SIZE 8). Far more than SPDK's: what a batch costs by itself (a turn, cache lines that
   * travel, a store that waits for them) is worth some 50 events here. A batch of the shortest events still takes about a microsecond, so no source
   * waits long for another.
   */
  event_batch: 128,
  /** Turns that may share one reading of the clock while they are short (`short_turn_us` each on average). */
  clock_share_turns: 8,
  short_turn_us: 2,
  /** Messages run of one thread in one turn (SPDK: SPDK_MSG_BATCH_SIZE 8). */
  msg_batch: 8,
  /** Functions that can be named across cores; past it registration throws ENOSPC. */
  event_fns_max: 4096,
  /** Bytes of a function's name across cores. */
  event_fn_name_bytes: 60,
  /** Lightweight threads alive at once; past it create throws ENOSPC. */
  threads_max: 1024,
  /** Messages waiting for one thread; past it a send on its own core throws ENOMEM, what comes from other cores is still taken (SPDK: 65536). */
  thread_messages_max: 65536,
  /** What an exiting thread is given to unregister and release; then it is exited by force and the log says so (SPDK: 5 s). */
  thread_exit_timeout_ms: 5000,
  /** Looks at a spin lock that another core holds before the core is given away for up to 1 ms at a time. */
  spin_lock_looks: 2000,
  /** Longest wait for a spin lock; then lock throws ESPIN, naming the holder. */
  spin_lock_wait_ms: 5000,
  /** Bytes of a thread's or poller's name; longer throws ENAMETOOLONG (SPDK: 256). */
  name_bytes: 252,
  /** Smallest block of the shared heap, header included. */
  heap_block_bytes_min: 32,
  /** Largest block of the shared heap, header included; a larger request throws EINVAL. */
  heap_block_bytes_max: 65536,
  /** A slab: what a core takes from the shared heap at once. */
  heap_slab_bytes: 65536,
  /** Shared heap of one application, default; exhaustion throws ENOMEM. */
  heap_bytes: 16 * 1024 * 1024,
  /** Small and large I/O buffers (SPDK: 8 KiB and 132 KiB). */
  iobuf_small_bytes: 8 * 1024,
  iobuf_large_bytes: 132 * 1024,
  /** I/O buffers start at this alignment. */
  iobuf_align_bytes: 4096,
  /** Buffers of each kind, default; none left means wait, never fail (SPDK: 8192 and 1024). */
  iobuf_small_count: 1024,
  iobuf_large_count: 256,
  /** Buffers that a core keeps for itself, default (SPDK: 128 and 16). */
  iobuf_small_cache: 64,
  iobuf_large_cache: 16,
  /** Time after the last work in which an adaptive reactor keeps polling. */
  idle_poll_us: 50,
  /** Time after it has woken another core in which an adaptive reactor keeps polling for the answer; waking a virtual core takes 50 µs and more. */
  answer_poll_us: 150,
  /** Polling between two turns of libuv. */
  slice_us: 50,
  /** The same, where most of the time is spent in naps for I/O to gather. */
  napping_slice_us: 400,
  /** An event or poller that runs longer is named in the log. */
  stall_ms: 100,
  /** After a stall, every event, message and poller of that core is timed by itself for so long. */
  stall_watch_ms: 10_000,
  /** The same stall is said at most once in this time. */
  stall_repeat_ms: 10_000,
  /** Entries of a reactor's submission ring; a full ring is submitted and goes on. */
  uring_entries: 512,
  /** Files that a ring registers with the kernel, segments of I/O memory, and bytes of them, which stay in memory. */
  uring_files: 256,
  uring_buffers: 64,
  uring_pinned_bytes: 256 * 1024 * 1024,
  /** O_DIRECT reads and writes that are given to the kernel at once. */
  bdev_direct_batch: 4,
  /** Block I/Os of users under way at once on one reactor; past it a submission gets -ENOMEM and may queue (SPDK: bdev_io_pool_size). Those of disks have some more: bdev/io-rank.ts. */
  bdev_ios_max: 65535,
  /** The most that bdev_io_pool_size may be; more is refused with EINVAL. What is told of each to another core (two events at most) has room in `mailbox_overflow_events`. */
  bdev_io_pool_size_max: 1 << 19,
  /** Block I/Os made at once when a reactor needs more. */
  bdev_io_grow: 256,
  /** Zeroes that emulated "write zeroes" writes at once. */
  bdev_zero_bytes: 1024 * 1024,
  /** Pieces of one split I/O under way at once (SPDK: SPDK_BDEV_MAX_CHILDREN_UNMAP_WRITE_ZEROES_REQS 8). */
  bdev_split_children: 32,
  /** Pieces of memory of one of them (SPDK: SPDK_BDEV_IO_NUM_CHILD_IOV 32). */
  bdev_child_iovecs: 32,
  /** Fault rules of one disk. */
  bdev_faults_max: 256,
  /** Time a call of a user's disk may take; then its I/O fails with EIO. */
  bdev_disk_timeout_ms: 30_000,
  /**
   * How long a RAID member's I/O is begun again that ends with -ECANCELED; then the member has failed. Resets of what several disks share abort it, and say nothing about the member; so it is as long as the
   * slowest of those may take.
   */
  raid_reset_wait_ms: 30_000,
  /** Largest block of a user's disk. */
  bdev_disk_block_bytes_max: 65536,
  /** Disks that one is split into. */
  bdev_split_max: 4096,
  /** Largest single piece of a memory disk's storage; a larger disk has several. */
  bdev_malloc_segment_bytes: 1024 * 1024 * 1024,
  /** Such pieces of all memory disks together. Each is a mapping of the C library's, which makes 65,536 of them (glibc's M_MMAP_MAX); past that it takes memory that it has to zero, 1 GiB at once. */
  bdev_malloc_segments_max: 32768,
  /** Pieces of memory in one gathered send; a longer list goes in several. */
  sock_iovecs: 128,
  /** Send buffer asked for on a unix socket; the kernel doubles it, and caps it at net.core.wmem_max. */
  sock_unix_send_bytes: 512 * 1024,
  /** Pause after a connection could not be accepted (no descriptors, no memory). */
  accept_backoff_ms: 100,
  /** JSON-RPC connections of one server (SPDK: 64); a further one is closed. */
  rpc_connections: 64,
  /** Bytes of one JSON-RPC request or batch; a longer one is answered with Invalid request and costs its connection (SPDK: 32 KiB). */
  rpc_request_bytes_max: 1024 * 1024,
  /** Bytes of one JSON-RPC reply; a longer result is answered with Internal error (SPDK: 32 MiB). */
  rpc_reply_bytes_max: 32 * 1024 * 1024,
  /** Reply bytes a connection may leave unread before nothing more is taken from it. */
  rpc_unread_bytes: 1024 * 1024,
  /** Calls of one connection that may wait for their reply; more are taken when some have finished. */
  rpc_outstanding_calls: 256,
  /** Calls in one JSON-RPC batch; a longer one is answered with Invalid request. */
  rpc_batch_calls: 1024,
  /** Depth of nested arrays and objects in JSON (SPDK: 64); deeper is a parse error. */
  json_nesting_max: 64,
  /** Notifications kept for notify_get_notifications; older ones are overwritten (SPDK: 1024). */
  notify_events: 1024,
  /** Payload of one NBD READ or WRITE; a larger WRITE costs the connection, a larger READ is refused (protocol: 2^25). */
  nbd_payload_bytes_max: 32 * 1024 * 1024,
  /** Bytes of an export name or of any other string of the NBD handshake; longer is refused (protocol: 4096). */
  nbd_string_bytes_max: 4096,
  /** Data of one NBD handshake option; a larger one costs the connection. */
  nbd_option_bytes_max: 32 * 1024,
  /** Options of one NBD handshake; a further one costs the connection. */
  nbd_options_max: 1024,
  /** Silence in the NBD handshake, after which the connection is dropped. */
  nbd_handshake_idle_ms: 30_000,
  /** What a draining NBD connection is given: the disk to end its I/Os, the client to take the replies. */
  nbd_drain_ms: 2000,
  /** Silence of an NBD client that holds I/O buffers, after which it is dropped if there are no others left. */
  nbd_stall_ms: 5000,
  /** NBD connections of one application; a further one is closed at once. */
  nbd_connections_max: 1024,
  /** Exports of the NBD target; a further one is refused with ENOSPC. */
  nbd_exports_max: 1024,
  /** Requests of one NBD connection in progress; when all are, the connection is not read. */
  nbd_requests: 256,
  /** Receive buffer of one NBD connection, two banks; when both are in use, the connection is not read. */
  nbd_recv_bytes: 256 * 1024,
  /** Reply headers of one NBD send. */
  nbd_arena_bytes: 16 * 1024,
  /** An NBD WRITE of this size or more is received straight to where it goes, not through the receive buffer. */
  nbd_direct_write_bytes: 32 * 1024,
  /** Entries of one gathered NBD send. */
  nbd_send_iovs: 128,
  /** A larger NBD READ or WRITE on a disk that is not memory is carried out in pieces of this size. Power of two. */
  nbd_piece_bytes: 128 * 1024,
  /** Pieces of one NBD READ in flight. */
  nbd_read_pieces: 4,
  /** Log lines a second and reactor about connections that broke the protocol; the others are counted. */
  nbd_broken_lines: 10,
  /** In what time requests that are waited for are expected, at least and at most, see nbd/pace.ts. */
  nbd_gather_us_min: 15,
  nbd_gather_us_max: 400,
  /** Requests of one connection to a remote NBD export in progress; further ones wait in the block layer. */
  nbd_client_requests: 128,
  /** Receive buffer of one connection to a remote NBD export. */
  nbd_client_recv_bytes: 64 * 1024,
  /** Pieces of memory of one request to a remote NBD export; I/Os of more are split. */
  nbd_client_segments: 64,
  /** Silence of a remote NBD server in the handshake, after which the attempt has failed. */
  nbd_client_handshake_ms: 10_000,
  /** I/Os that a job of `tspdk perf` keeps under way. */
  perf_queue_depth_max: 16384,
  /** Bytes of one I/O of `tspdk perf`. */
  perf_io_bytes_max: 64 * 1024 * 1024,
  /** I/O memory of one job of `tspdk perf`: queue depth times I/O size. */
  perf_buffer_bytes_max: 1024 * 1024 * 1024,
  /** Time and timeout of `tspdk perf`. */
  perf_time_us_max: 366 * 24 * 3600 * 1_000_000,
  /** Places (I/O sizes) of a disk that `tspdk perf` uses; what lies behind them is left alone. */
  perf_places_max: 2 ** 31 - 1,
  /** The same for a verifying job, which remembers 4 bytes for each. */
  perf_verify_places_max: 2 ** 24,
  /** Exponent of Zipf's law; above it only the first places would ever come. */
  perf_zipf_theta_max: 10,
  /** Time between two resets of a job that resets. */
  perf_reset_us: 100_000,
  /** How long a job keeps back what a reset from elsewhere has aborted: sent at once, it would be aborted at once, and the reset never be over. */
  perf_reset_pause_us: 1000,
  /** What the first stop is given before a second signal forces the exit. */
  stop_grace_ms: 5000,
  /** What timers, sockets and the like of users' modules are given to end when all else has. */
  leftovers_grace_ms: 2000,
  /** What the others are given to come to rest when a reactor's thread has died. */
  stop_dead_grace_ms: 200,
} as const;

/** Name and value of every limit, for the generated reference. */
export function limitRows(): { name: string; value: number }[] {
  return Object.entries(limits).map(([name, value]) => ({ name, value }));
}
