// What every core loads: functions cross cores by name, so each core must know them.
import { currentReactor, defineEvent } from 'tspdk';

export const url = import.meta.url;
export const hello = defineEvent('hello', () => console.log(`hello from core ${currentReactor().core}`));
