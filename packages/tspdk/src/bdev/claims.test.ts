/**
 * Claims, every one against every other. Checklist: SPDK's bdev_ut claim_v2_rwo, claim_v2_rom, claim_v2_rwm, claim_v2_existing_writer, claim_v2_existing_v1, claim_v1_existing_v2. What SPDK's
 * rules say of a request is written down in `refusal`; what the disk does is compared with it in every case. The single stories are in bdev.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cluster, startCluster } from './cluster.sim.ts';
import { BdevDesc } from './desc.ts';
import {
  CLAIM_EXCL_WRITE,
  CLAIM_NAMES,
  CLAIM_NONE,
  CLAIM_READ_MANY_WRITE_NONE,
  CLAIM_READ_MANY_WRITE_ONE,
  CLAIM_READ_MANY_WRITE_SHARED,
} from './shared-state.ts';
import { stubChannel } from './stub-module.sim.ts';
import { make, runIo } from './stub-setup.sim.ts';

const TYPES = [CLAIM_EXCL_WRITE, CLAIM_READ_MANY_WRITE_ONE, CLAIM_READ_MANY_WRITE_NONE, CLAIM_READ_MANY_WRITE_SHARED];

interface State {
  /** What is held. */
  readonly type: number;
  readonly key: bigint;
  /** Others who have it open for writing without a claim. */
  readonly writers: number;
}

interface Asked {
  readonly type: number;
  readonly key: bigint;
  /** Open for writing. */
  readonly write: boolean;
}

/** The code of SPDK's refusal; undefined: it is granted. */
function refusal({ type, key, write }: Asked, state: State): string | undefined {
  if ((type === CLAIM_READ_MANY_WRITE_SHARED) !== (key !== 0n)) return 'EINVAL';
  if (type === CLAIM_READ_MANY_WRITE_NONE && write) return 'EINVAL';
  if (state.type === CLAIM_NONE) return type !== CLAIM_EXCL_WRITE && state.writers > 0 ? 'EPERM' : undefined;
  if (type !== state.type || type === CLAIM_EXCL_WRITE || type === CLAIM_READ_MANY_WRITE_ONE) return 'EPERM';
  return key === state.key ? undefined : 'EPERM';
}

const opened = (cluster: Cluster, core: number, write: boolean) =>
  cluster.on(core, () => BdevDesc.open('S', { write, onEvent: () => {} }));

/** Claims, and says with which code that was refused. */
function ask(desc: BdevDesc, { type, key }: Omit<Asked, 'write'>): string | undefined {
  try {
    desc.claim({ type, ...(key === 0n ? {} : { key }) });
    return undefined;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('claim_v2_existing_v1, claim_v1_existing_v2, claim_v2_existing_writer: every claim against every other, with and without writers, of both cores', async () => {
  const cluster = await startCluster({ reactors: 2 });
  const { shared } = await make(cluster, { name: 'S' });
  const held = [{ type: CLAIM_NONE, key: 0n }, ...TYPES.map((type) => ({ type, key: type === 4 ? 7n : 0n }))];
  const asked = TYPES.flatMap((type) => [0n, 7n, 8n].map((key) => ({ type, key })));
  let cases = 0;
  for (const holding of held) {
    for (const asking of asked) {
      for (const write of [false, true]) {
        for (const strangerOn of [-1, 0, 1]) {
          cases++;
          const name = `${CLAIM_NAMES[holding.type]} held, ${CLAIM_NAMES[asking.type]} asked with key ${asking.key} by a ${write ? 'writer' : 'reader'}, writer on core ${strangerOn}`;
          const strangers = strangerOn < 0 ? 0 : 1;
          const stranger = strangerOn < 0 ? null : opened(cluster, strangerOn, true);
          const holder = opened(cluster, 0, false);
          const asker = opened(cluster, 0, write);
          let state: State = { type: CLAIM_NONE, key: 0n, writers: strangers + (write ? 1 : 0) };
          let holds = false;
          if (holding.type !== CLAIM_NONE) {
            const expected = refusal({ ...holding, write: false }, state);
            assert.equal(ask(holder, holding), expected, `first, ${name}`);
            holds = expected === undefined;
            if (holds) state = { ...holding, writers: state.writers };
          }
          const expected = refusal({ ...asking, write }, { ...state, writers: strangers });
          assert.equal(ask(asker, asking), expected, name);
          const granted = expected === undefined;
          if (granted) state = { ...asking, writers: strangers };
          const promoted = granted && asking.type !== CLAIM_READ_MANY_WRITE_NONE;
          const holderWrites = holds && holding.type !== CLAIM_READ_MANY_WRITE_NONE;
          assert.deepEqual([asker.write, holder.write], [write || promoted, holderWrites], name);
          assert.equal(shared.claim, state.type, name);
          assert.equal(shared.writers, strangers + Number(asker.write) + Number(holderWrites), name);
          for (const core of [0, 1]) {
            if (state.type === CLAIM_NONE) opened(cluster, core, true).close();
            else assert.throws(() => opened(cluster, core, true), { code: 'EPERM' }, name);
            opened(cluster, core, false).close();
          }
          if (granted) assert.equal(ask(asker, asking), 'EPERM', 'one claim each');
          for (const desc of [asker, holder, stranger]) desc?.close();
          assert.deepEqual([shared.claim, shared.writers, shared.descs], [CLAIM_NONE, 0, 0], name);
        }
      }
    }
  }
  assert.equal(cases, 5 * 12 * 2 * 3);
  await cluster.close();
});

test('claim_v2_rwo, claim_v2_rwm: a reader who claims writes, and one who shows the claim on another core; closed, others may', async () => {
  for (const [type, key] of [
    [CLAIM_EXCL_WRITE, 0n],
    [CLAIM_READ_MANY_WRITE_ONE, 0n],
    [CLAIM_READ_MANY_WRITE_SHARED, 9n],
  ] as const) {
    const cluster = await startCluster({ reactors: 2 });
    await make(cluster, { name: 'S' });
    const reader = opened(cluster, 0, false);
    const claim = reader.claim({ type, ...(key === 0n ? {} : { key }) });
    const guest = cluster.on(1, () => BdevDesc.open('S', { write: true, claim, onEvent: () => {} }));
    const buf = cluster.memory(512);
    for (const [core, desc] of [reader, guest].entries()) {
      const channel = cluster.on(core, () => desc.getIoChannel());
      const write = runIo(cluster, (cb) => channel.write(buf, 0, 0, 512, cb, null));
      stubChannel('S', core).complete(1);
      assert.equal(await write, 0);
    }
    guest.close();
    assert.throws(() => opened(cluster, 1, true), { code: 'EPERM' });
    reader.close();
    opened(cluster, 1, true).close();
    await cluster.close();
  }
});
