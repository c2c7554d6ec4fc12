/**
 * How a reactor's I/O buffer pool reaches the pools of the other cores: two events.
 */
import { defineEvent } from '../env/event-fn.ts';
import type { IoBufPort } from '../env/iobuf.ts';
import { currentReactor, type Reactor } from './reactor.ts';

const spill = defineEvent('env.iobuf.spill', (large) => currentReactor().iobuf.spill(large === 1));
const serve = defineEvent('env.iobuf.serve', (large) => currentReactor().iobuf.serve(large === 1));

/** The port of `reactor`'s pool. */
export function iobufPort(reactor: Reactor): IoBufPort {
  return {
    askSpill: (large) => {
      for (const other of reactor.cores) if (other !== reactor.core) reactor.send(other, spill, large ? 1 : 0, 0, 0);
    },
    spillLater: (large) => reactor.send(reactor.core, spill, large ? 1 : 0, 0, 0),
    tellAvailable: (to, large) => reactor.send(reactor.cores[to], serve, large ? 1 : 0, 0, 0),
  };
}
