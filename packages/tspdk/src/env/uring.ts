/** io_uring, driven from TypeScript: what other folders use of `env/uring/`. */
export { IORING_CQE_F_MORE, IORING_CQE_F_SOCK_NONEMPTY } from './uring/layout.ts';
export { Ring, type RingOp, type RingOptions } from './uring/ring.ts';
