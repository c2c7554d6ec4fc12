/**
 * The uuid of a disk that stands on another and was given none: it follows from the base's, so that the same disk made again on the same base is known again by who knows disks by
 * uuid, after a restart too (SPDK: spdk_uuid_generate_sha1; RFC 9562 section 5.5, version 5). Namespaces are SPDK's where it has one, and so are the uuids.
 */
import { createHash } from 'node:crypto';

const toBytes = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex');

/** The uuid of version 5 that `name` has in `namespace`. */
export function nameUuid(namespace: string, name: Uint8Array): string {
  const bytes = createHash('sha1').update(toBytes(namespace)).update(name).digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x50;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** That of a disk on the disk with the uuid `base`; of a part of it, with what tells it from the others: 64-bit numbers, little-endian as SPDK's are. */
export function derivedUuid(namespace: string, base: string, ...numbers: readonly number[]): string {
  const name = Buffer.alloc(16 + numbers.length * 8);
  toBytes(base).copy(name);
  numbers.forEach((number, i) => {
    name.writeBigUInt64LE(BigInt(number), 16 + i * 8);
  });
  return nameUuid(namespace, name);
}
