/**
 * `tspdk tgt`: the storage target that is configured by a JSON file and RPC, as spdk_tgt is.
 */
import { APP_FLAGS, flagHelp, parseAppArgs } from '../event/app-args.ts';
import { App } from '../event/index.ts';
import { log } from '../log/index.ts';
import { targetOptions } from './target.ts';
import { VERSION } from './version.ts';

/** Runs until a signal or `spdk_kill_instance` stops it. Resolves with the exit code. */
export async function tgt(argv: readonly string[]): Promise<number> {
  const args = parseAppArgs(argv);
  if (args.help) {
    console.log(`usage: tspdk tgt [flags]\n\n${flagHelp(APP_FLAGS)}`);
    return 0;
  }
  if (args.version) {
    console.log(`tspdk v${VERSION}`);
    return 0;
  }
  return App.start(targetOptions(args), (app) => {
    log.register('app').notice(`tspdk v${VERSION}: reactors on cores ${app.cores.join(',')}`);
    endWithParent(app);
  });
}

/** A target that was started with an IPC channel (startTarget) ends when whoever holds the other end is gone, however that came. */
function endWithParent(app: App): void {
  if (process.connected === undefined) return;
  process.once('disconnect', () => app.stop(0));
  // It is no reason to stay.
  process.channel?.unref();
  if (!process.connected) app.stop(0);
}
