/**
 * The two 32-bit CRCs of storage formats: CRC-32 (IEEE 802.3; GPT) and CRC-32C (Castagnoli; RAID superblocks, iSCSI, NVMe/TCP). Node 20 has neither.
 *
 * A byte at a time (some 0.4 GB/s), which is plenty for tables and superblocks.
 */
function makeTable(reflectedPolynomial: number): Int32Array {
  const table = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ reflectedPolynomial : crc >>> 1;
    table[byte] = crc;
  }
  return table;
}

const ieee = makeTable(0xedb88320);
const castagnoli = makeTable(0x82f63b78);

function update(table: Int32Array, crc: number, bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length; at++) crc = (crc >>> 8) ^ table[(crc ^ bytes[at]) & 255];
  return crc;
}

/** CRC-32 of `bytes`, continued from the `crc` of what came before; 32 bits without a sign. */
export function crc32(bytes: Uint8Array, crc = 0): number {
  return ~update(ieee, ~crc, bytes) >>> 0;
}

/** CRC-32C of `bytes`, likewise. */
export function crc32c(bytes: Uint8Array, crc = 0): number {
  return ~update(castagnoli, ~crc, bytes) >>> 0;
}

/** The bare register of CRC-32C, inverted neither before nor after (SPDK: spdk_crc32c_update); 32 bits without a sign. */
export function crc32cUpdate(bytes: Uint8Array, crc: number): number {
  return update(castagnoli, crc, bytes) >>> 0;
}
