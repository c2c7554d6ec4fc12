/**
 * Lines to descriptor 2, whole and now.
 *
 * Synchronous, so that the last words of a dying process arrive; from any isolate, since the descriptor is the
 * process's. A pipe or terminal that is full for longer than `patienceMs` loses lines rather than stopping a reactor;
 * the loss is told once there is room again.
 */
import { writeSync } from 'node:fs';
import type { LogSink } from './log.ts';

export interface StderrSinkOptions {
  fd?: number;
  /** How long one line may wait for room. */
  patienceMs?: number;
  /** Stand-in for fs.writeSync. */
  write?: (fd: number, data: Uint8Array, offset: number, length: number) => number;
}

/** A sink over a descriptor; see the head of this file. */
export function stderrSink(options: StderrSinkOptions = {}): LogSink {
  const fd = options.fd ?? 2;
  const patienceMs = options.patienceMs ?? 50;
  const write = options.write ?? writeSync;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  let lost = 0;
  return (line) => {
    const data = Buffer.from(lost === 0 ? line : `log: *WARNING*: ${lost} lines were lost, stderr was full\n${line}`);
    let offset = 0;
    let waitedMs = 0;
    while (offset < data.length) {
      try {
        offset += write(fd, data, offset, data.length - offset);
      } catch (error) {
        const code = (error as { code?: unknown }).code;
        if (code === 'EINTR') continue;
        // A begun line is finished if at all possible: half a line would swallow the next one.
        if (code === 'EAGAIN' && waitedMs < (offset === 0 ? patienceMs : patienceMs * 20)) {
          Atomics.wait(pause, 0, 0, 1);
          waitedMs++;
          continue;
        }
        lost++;
        return;
      }
    }
    lost = 0;
  };
}
