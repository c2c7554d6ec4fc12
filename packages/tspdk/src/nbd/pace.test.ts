// When a connection lets requests gather, and when it stops, for both ways of waiting (until they are there, or for the time they should take). Against a
// model of a client, which takes `clientUs` for each reply and the next request, has `depth` requests under way, and waits when all of them are with the
// server. A server takes `batchUs` and `requestUs`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from './pace.ts';

const ways = ['requests', 'time'] as const;
type Way = (typeof ways)[number];

interface Client {
  readonly depth: number;
  readonly clientUs: number;
}

const batchUs = 6;
const requestUs = 3;

/** What came of `requests` requests: how many were found at a time, how long one took in the end, how many waits there were. */
function serve(pace: Pick<Pace, 'next' | 'expectedUs'>, way: Way, { depth, clientUs }: Client, requests = 50_000) {
  /** When each request that the server has not taken arrives. */
  const coming: number[] = [];
  let clientFree = 0;
  const replied = (count: number, at: number) => {
    for (let i = 0; i < count; i++) {
      clientFree = Math.max(clientFree, at) + clientUs;
      coming.push(clientFree);
    }
  };
  replied(depth, 0);
  let batches = 0;
  let waits = 0;
  let now = 0;
  let served = 0;
  while (served < requests) {
    now = Math.max(now, coming[0]);
    let found = 0;
    while (coming.length > 0 && coming[0] <= now) {
      coming.shift();
      found++;
    }
    const want = pace.next(found, now);
    now += batchUs + found * requestUs;
    replied(found, now);
    if (want > 1) {
      waits++;
      if (way === 'time') now += pace.expectedUs;
      else
        now = Math.max(
          now,
          Math.min(now + 2 * pace.expectedUs, coming[Math.ceil(want) - 1] ?? Number.POSITIVE_INFINITY),
        );
    }
    served += found;
    batches++;
  }
  return { perBatch: served / batches, waits, us: now / served };
}

/** Microseconds a request that this client sees from a server that never waits. */
function withoutWaits(client: Client): number {
  return serve({ next: () => 1, expectedUs: 0 }, 'time', client).us;
}

for (const way of ways) {
  for (const clientUs of [2, 5, 20, 60]) {
    test(`one request at a time, ${clientUs} µs each: the client is hardly ever kept waiting (for ${way})`, () => {
      const client = { depth: 1, clientUs };
      const { us, waits } = serve(new Pace(way === 'time'), way, client);
      assert.ok(waits < 30, `${waits} waits in 50,000 requests`);
      assert.ok(us < withoutWaits(client) * 1.02, `${us} µs a request, ${withoutWaits(client)} without waits`);
    });
  }

  for (const depth of [2, 3, 4, 6, 8, 12, 16]) {
    test(`${depth} requests under way: the client loses little (waits for ${way})`, () => {
      const client = { depth, clientUs: 20 };
      const { us } = serve(new Pace(way === 'time'), way, client);
      assert.ok(us < withoutWaits(client) * 1.06, `${us} µs a request, ${withoutWaits(client)} without waits`);
    });
  }

  for (const clientUs of [5, 10, 20, 40]) {
    test(`32 under way, ${clientUs} µs each: found in batches, and the client loses nothing (waits for ${way})`, () => {
      const client = { depth: 32, clientUs };
      const { us, perBatch } = serve(new Pace(way === 'time'), way, client);
      assert.ok(perBatch > 4 && perBatch < 26, `${perBatch} requests a batch`);
      assert.ok(us < withoutWaits(client) * 1.02, `${us} µs a request, ${withoutWaits(client)} without waits`);
    });
  }

  test(`a client that becomes shallow is soon not kept waiting, one that becomes deep again is found out (for ${way})`, () => {
    const pace = new Pace(way === 'time');
    serve(pace, way, { depth: 32, clientUs: 20 });
    serve(pace, way, { depth: 1, clientUs: 20 }, 200);
    assert.ok(serve(pace, way, { depth: 1, clientUs: 20 }, 10_000).waits < 20);
    serve(pace, way, { depth: 32, clientUs: 20 }, 10_000);
    assert.ok(serve(pace, way, { depth: 32, clientUs: 20 }, 10_000).perBatch > 4);
  });
}

test('waits stay within their bounds, and a receive without a request asks for none', () => {
  const pace = new Pace(false);
  for (let i = 0; i < 10_000; i++) {
    const want = pace.next(30, i * 1e6);
    assert.ok(want >= 1 && want <= 24, `${want} requests`);
    assert.ok(pace.expectedUs <= 400, `${pace.expectedUs} µs`);
  }
  assert.equal(pace.next(0, 1e12), 1);
});
