/**
 * What a verification found, in a record that its owner keeps and reuses (SPDK: struct spdk_dif_error).
 */

/** Kinds of errors; also the flags of what to inject (SPDK: SPDK_DIF_REFTAG_ERROR, ...). */
export const DIF_REFTAG_ERROR = 0x1;
export const DIF_APPTAG_ERROR = 0x2;
export const DIF_GUARD_ERROR = 0x4;
/** Injection alone knows it: what is wrong with the data shows as a wrong guard. */
export const DIF_DATA_ERROR = 0x8;

/** The first block that failed. Written only when a verification fails. */
export class DifError {
  /** One of DIF_*_ERROR; 0 until there was an error. */
  errType = 0;
  /** What the tuple should have held: 16 bits for guard and application tag, 32 for the reference tag. */
  expected = 0;
  /** What it held; of an application tag, the bits under the mask. */
  actual = 0;
  /** The block, counted from the first of the call. */
  errOffset = 0;

  reset(): void {
    this.errType = 0;
    this.expected = 0;
    this.actual = 0;
    this.errOffset = 0;
  }

  set(errType: number, expected: number, actual: number, errOffset: number): void {
    this.errType = errType;
    this.expected = expected;
    this.actual = actual;
    this.errOffset = errOffset;
  }
}
