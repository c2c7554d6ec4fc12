/** The base that several parts of one kind share: opened and claimed by the first, let go by the last (SPDK: struct spdk_bdev_part_base). App core. */
import { BaseBdev } from '../../../bdev/index.ts';
import { localKey, type Reactor } from '../../../event/reactor.ts';

const shared = localKey('bdev_part_bases', () => new Map<string, BaseBdev>());

/** The disk `name` as the base of one disk more of the kind `moduleName`: opened as `BaseBdev.open` does, with CLAIM_EXCL_WRITE, by the first of them. App core only. @throws {SpdkError} as BaseBdev.open */
export function sharedBase(reactor: Reactor, moduleName: string, name: string): BaseBdev {
  const bases = reactor.local(shared);
  const key = `${moduleName} ${name}`;
  const known = bases.get(key);
  if (known !== undefined && !known.closed && !known.removed) return known.retain();
  const base = BaseBdev.open(reactor, name);
  bases.set(key, base);
  return base;
}
