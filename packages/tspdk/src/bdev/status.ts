/**
 * Completion statuses of the data path: 0 or a negative Linux errno, as integers, so that nothing is allocated to report one.
 */
export const OK = 0;
export const EIO = -5;
export const EBADF = -9;
export const EAGAIN = -11;
export const ENOMEM = -12;
export const ENODEV = -19;
export const EINVAL = -22;
export const ENOSPC = -28;
export const EROFS = -30;
/** Compared, and different (SPDK: SPDK_BDEV_IO_STATUS_MISCOMPARE). */
export const EILSEQ = -84;
export const ENOTSUP = -95;
export const ETIMEDOUT = -110;
export const ECANCELED = -125;
