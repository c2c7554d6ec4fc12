// What every core does in hello-bdev.ts: a lightweight thread opens the disk, writes a greeting, reads it back and goes.
//
// I/O is callbacks, not promises: each gets the context that it was submitted with, so nothing is allocated for it. A call answers 0 when it has taken the I/O, and then
// calls back once; or a negative errno, and then never does.
import {
  type BdevChannel,
  BdevDesc,
  Cpuset,
  codeOfErrno,
  defineControl,
  type IoBuf,
  ioStatus,
  type Reactor,
  Thread,
} from 'tspdk';

export const url = import.meta.url;

const NO_MEMORY = ioStatus('ENOMEM');

export interface Greeting {
  readonly bdev: string;
  readonly byteOffset: number;
  readonly text: string;
}

/** Writes a greeting to a disk, and answers what it has read back. */
export const greet = defineControl('hello_bdev.greet', (greeting: Greeting, reactor): Promise<string> => {
  const thread = Thread.create(reactor, { name: 'hello', cpumask: new Cpuset([reactor.core]) }) as Thread;
  return new Promise((resolve, reject) => {
    const done = (text: string, error?: Error) => (error ? reject(error) : resolve(text));
    thread.run(() => new Hello(greeting, reactor, thread, done).write());
  });
});

class Hello {
  readonly #greeting: Greeting;
  readonly #reactor: Reactor;
  readonly #thread: Thread;
  readonly #done: (text: string, error?: Error) => void;
  readonly #desc: BdevDesc;
  readonly #channel: BdevChannel;
  readonly #buf: IoBuf;

  constructor(greeting: Greeting, reactor: Reactor, thread: Thread, done: (text: string, error?: Error) => void) {
    this.#greeting = greeting;
    this.#reactor = reactor;
    this.#thread = thread;
    this.#done = done;
    // When the disk is removed its owners close it, and it goes when the last has.
    const onEvent = (event: string) => event === 'remove' && this.#end('', new Error('the disk is gone'));
    this.#desc = BdevDesc.open(greeting.bdev, { write: true, onEvent });
    this.#channel = this.#desc.getIoChannel();
    // 8 KiB of the pool that all cores share. When it is empty, iobuf.waitSmall() has one as soon as there is.
    this.#buf = reactor.iobuf.getSmall() as IoBuf;
  }

  write(): void {
    const { segment, offset } = this.#buf;
    const block = segment.u8.subarray(offset, offset + this.#desc.blockSizeBytes);
    block.fill(0);
    new TextEncoder().encodeInto(this.#greeting.text, block);
    const rc = this.#channel.write(segment, offset, this.#greeting.byteOffset, block.length, Hello.#written, this);
    // No I/O is free just now: the layer calls when one is.
    if (rc === NO_MEMORY) this.#channel.queueIoWait({ onReady: () => this.write() });
    else if (rc !== 0) this.#fail('write', rc);
  }

  static #written(this: void, ctx: unknown, status: number): void {
    const hello = ctx as Hello;
    if (status === 0) hello.read();
    else hello.#fail('write', status);
  }

  read(): void {
    const { segment, offset } = this.#buf;
    const { blockSizeBytes } = this.#desc;
    segment.u8.fill(0, offset, offset + blockSizeBytes);
    const rc = this.#channel.read(segment, offset, this.#greeting.byteOffset, blockSizeBytes, Hello.#have, this);
    if (rc === NO_MEMORY) this.#channel.queueIoWait({ onReady: () => this.read() });
    else if (rc !== 0) this.#fail('read', rc);
  }

  static #have(this: void, ctx: unknown, status: number): void {
    const hello = ctx as Hello;
    if (status === 0) hello.#end(hello.#text());
    else hello.#fail('read', status);
  }

  #text(): string {
    const { segment, offset } = this.#buf;
    // Decoders take no shared memory: a copy.
    const block = segment.u8.slice(offset, offset + this.#desc.blockSizeBytes);
    return new TextDecoder().decode(block.subarray(0, block.indexOf(0)));
  }

  #fail(what: string, status: number): void {
    this.#end('', new Error(`${what}: ${codeOfErrno(-status)}`));
  }

  #end(text: string, error?: Error): void {
    this.#reactor.iobuf.put(this.#buf);
    this.#channel.close();
    this.#desc.close();
    this.#thread.exit();
    this.#done(text, error);
  }
}
