// What a program can do with disks, one thing after the other; docs/block-layer.md goes along.
//
//     npm run example -- bdev/tour
import { connect } from 'node:net';
import {
  App,
  type BdevChannel,
  BdevDesc,
  type BdevIoDone,
  bdevRegistry,
  CLAIM_EXCL_WRITE,
  codeOfErrno,
  defineDisk,
  dropSegment,
  enableHistogram,
  faultRegistry,
  IO_FLAG_FUA,
  IoVecs,
  readHistogram,
  type Segment,
  shareSegment,
} from 'tspdk';
import { formatNbdUri, nbdTarget, targetSubsystems } from 'tspdk/target';

const BLOCK = 512;
const MIB = 1024 * 1024;

/** An I/O as a promise, for code that is in no hurry. The data path passes callbacks, and allocates nothing. */
function io(submit: (done: BdevIoDone) => number): Promise<string> {
  return new Promise((resolve) => {
    const ended = (status: number) => resolve(status === 0 ? 'ok' : codeOfErrno(-status));
    const rc = submit((_, status) => ended(status));
    if (rc !== 0) ended(rc);
  });
}

async function createDisks(app: App): Promise<void> {
  const bdevs = bdevRegistry(app.reactor);
  await bdevs.create('malloc', { name: 'Malloc0', block_size: BLOCK, num_blocks: MIB / BLOCK });
  await bdevs.create('passthru', { name: 'Above', base_bdev_name: 'Malloc0' });
  const nothing = defineDisk({ size: MIB, read: (_, buffer) => void buffer.fill(0) });
  await bdevs.create('disk', { name: 'Zeroes', disk: nothing });
  for (const { name, productName, blocks, writable } of bdevs.list()) {
    console.log(`${name}: ${productName}, ${blocks} blocks, ${writable ? 'writable' : 'read-only'}`);
  }
  await bdevs.delete('Zeroes');
  // GPT and RAID look at a new disk, and what they read is counted.
  await bdevs.waitForExamine();
}

async function doIo(channel: BdevChannel, memory: Segment): Promise<void> {
  memory.u8.fill(7, 0, BLOCK);
  console.log('write', await io((done) => channel.write(memory, 0, 0, BLOCK, done, null, IO_FLAG_FUA)));
  // Two pieces of memory, one I/O.
  const pieces = new IoVecs(2);
  pieces.push(memory, 4096, 100);
  pieces.push(memory, 8192, BLOCK - 100);
  console.log('readv', await io((done) => channel.readv(pieces, 0, done, null)));
  console.log('comparev', await io((done) => channel.comparev(pieces, 0, done, null)));
  console.log('copy', await io((done) => channel.copy(BLOCK, 0, BLOCK, done, null)));
  console.log('unmap', await io((done) => channel.unmap(0, BLOCK, done, null)));
  console.log('comparev', await io((done) => channel.comparev(pieces, 0, done, null)));
  console.log('past the end', await io((done) => channel.read(memory, 0, MIB, BLOCK, done, null)));
  console.log('reset', await io((done) => channel.reset(done, null)));
}

function claim(desc: BdevDesc): void {
  desc.claim({ type: CLAIM_EXCL_WRITE });
  try {
    BdevDesc.open(desc.bdev.name, { write: true, onEvent: () => {} });
  } catch (error) {
    console.log((error as Error).message);
  }
  desc.releaseClaim();
}

async function quiesce(desc: BdevDesc, channel: BdevChannel, memory: Segment): Promise<void> {
  const quiesced = await desc.quiesce({ byteOffset: 0, bytes: 8 * BLOCK });
  const order: string[] = [];
  const write = io((done) => channel.write(memory, 0, 0, BLOCK, done, null)).then(() => order.push('written'));
  // Another range goes on.
  await io((done) => channel.write(memory, 0, 8 * BLOCK, BLOCK, done, null));
  order.push('unquiesced');
  await quiesced.unquiesce();
  await write;
  console.log(order.join(', '));
}

async function measure(app: App, desc: BdevDesc, channel: BdevChannel, memory: Segment): Promise<void> {
  const bdevs = bdevRegistry(app.reactor);
  await bdevs.stat([desc.bdev.name], 'all');
  await enableHistogram(desc.bdev, { type: 0, granularity: 7, minNs: 0, maxNs: 1_000_000_000 });
  await bdevs.setRates(desc.bdev.name, { rw_ios_per_sec: 10_000 });
  for (let i = 0; i < 20; i++) await io((done) => channel.read(memory, 0, i * BLOCK, BLOCK, done, null));
  await bdevs.setRates(desc.bdev.name, { rw_ios_per_sec: 0 });
  const [{ stat }] = await bdevs.stat([desc.bdev.name]);
  const { ops, bytes } = stat.counts('read');
  const { histogram } = await readHistogram(desc.bdev);
  console.log(`${ops} reads of ${bytes} bytes; the histogram has ${histogram.total}`);
  await enableHistogram(desc.bdev, null);
}

async function fail(app: App, desc: BdevDesc, channel: BdevChannel, memory: Segment): Promise<void> {
  const faults = faultRegistry(app.reactor);
  const full = await faults.add(desc.bdev.name, { op: 'write', action: 'error', errno: 'ENOSPC', count: 1 });
  console.log('faulty', await io((done) => channel.write(memory, 0, 0, BLOCK, done, null)));
  await faults.remove(full);
  // What is stuck is overdue, and an abort ends it.
  const stuck = await faults.add(desc.bdev.name, { op: 'read', action: 'stuck' });
  const mine = {};
  desc.setTimeout(1000, ({ bytes }) => {
    console.log(`${bytes} bytes take too long: aborted ${channel.abort(mine)}`);
  });
  const status = await new Promise((resolve) => channel.read(memory, 0, 0, BLOCK, (_, ended) => resolve(ended), mine));
  console.log('stuck', codeOfErrno(-(status as number)));
  desc.setTimeout(0);
  await faults.remove(stuck);
}

async function protect(app: App, memory: Segment): Promise<void> {
  const format = { md_size: 8, md_interleave: true, dif_type: 1 };
  await bdevRegistry(app.reactor).create('malloc', { name: 'Dif0', block_size: BLOCK, num_blocks: 64, ...format });
  const whole = BdevDesc.open('Dif0', { write: true, onEvent: () => {} });
  const data = BdevDesc.open('Dif0', { write: true, hideMetadata: true, onEvent: () => {} });
  console.log(`blocks of ${whole.blockSizeBytes} bytes, ${data.blockSizeBytes} of them data`);
  const [above, below] = [data.getIoChannel(), whole.getIoChannel()];
  console.log('protected', await io((done) => above.write(memory, 0, BLOCK, BLOCK, done, null)));
  console.log('checked', await io((done) => below.read(memory, 4096, 520, 520, done, null)));
  memory.u8[4096] ^= 1;
  console.log('one bit', await io((done) => below.write(memory, 4096, 520, 520, done, null)));
  data.close();
  whole.close();
  await bdevRegistry(app.reactor).delete('Dif0');
}

async function exportIt(app: App): Promise<void> {
  const target = nbdTarget(app);
  await target.addExport({ name: 'disk', bdevName: 'Above', readOnly: true });
  const { port } = await target.startServer({ host: '127.0.0.1', port: 0 });
  console.log(formatNbdUri({ host: '127.0.0.1', port }, 'disk').replace(String(port), 'PORT'));
  // Any NBD client; here only what the server says first.
  const magic = await new Promise<Buffer>((resolve) => {
    const client = connect(port, '127.0.0.1').once('data', (data) => {
      client.destroy();
      resolve(data);
    });
  });
  console.log(magic.toString('latin1', 0, 8));
  await target.stopServer();
  await target.removeExport('disk');
}

process.exitCode = await App.start({ name: 'tour', subsystems: targetSubsystems }, async (app) => {
  await createDisks(app);
  const memory = app.reactor.segments.get(await shareSegment(app.reactor, MIB));
  const desc = BdevDesc.open('Above', {
    write: true,
    onEvent: (event) => {
      console.log(`Above: ${event}`);
      if (event === 'remove') desc.close();
    },
  });
  const channel = desc.getIoChannel();
  await doIo(channel, memory);
  claim(desc);
  await quiesce(desc, channel, memory);
  await measure(app, desc, channel, memory);
  await fail(app, desc, channel, memory);
  await protect(app, memory);
  await exportIt(app);
  // What stands on a disk goes with it, and who has it open hears of it.
  await bdevRegistry(app.reactor).delete('Malloc0');
  await dropSegment(app.reactor, memory.id);
  app.stop(0);
});
