/**
 * Segments on every reactor: memory for I/O data is made on the app core and attached everywhere under one number.
 */
import type { IoBufMemory } from '../env/iobuf.ts';
import { defineControl } from './control.ts';

export const attachSegment = defineControl(
  'event.segment.attach',
  (payload: { id: number; sab: SharedArrayBuffer; pinnable?: boolean }, reactor): void => {
    reactor.segments.attach(payload.id, payload.sab, payload.pinnable);
  },
);

export const detachSegment = defineControl('event.segment.detach', (payload: { id: number }, reactor): void => {
  reactor.segments.detach(payload.id);
});

export const configureIoBuf = defineControl('event.iobuf.configure', (memory: IoBufMemory, reactor): void => {
  reactor.useIoBuf(memory);
});
