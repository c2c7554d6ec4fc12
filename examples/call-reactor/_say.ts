// One line at once. (console.log on a worker thread travels through the main thread and would come out late.)
import { writeSync } from 'node:fs';

export function say(line: string): void {
  writeSync(1, `${line}\n`);
}
