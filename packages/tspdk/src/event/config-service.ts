/**
 * The JSON configuration of the command line (`-c`): its STARTUP calls run before the subsystems are initialised, the rest after.
 */
import { readFile } from 'node:fs/promises';
import { SpdkError, toSpdkError } from '../env/errors.ts';
import { type JsonConfig, parseConfig, replayConfig } from '../rpc/index.ts';
import type { AppService } from './app-options.ts';

/** Options of `configService`. */
export interface ConfigServiceOptions {
  readonly ignoreErrors?: boolean;
}

/**
 * Loads a configuration while the application starts.
 * @param source a file's path, or the configuration itself.
 */
export function configService(source: string | JsonConfig, options: ConfigServiceOptions = {}): AppService {
  let config: JsonConfig | null = typeof source === 'string' ? null : source;
  const replay = { ignoreErrors: options.ignoreErrors ?? false };
  return {
    name: 'config',
    async start() {
      if (typeof source === 'string') config = await load(source);
    },
    async beforeInit(app) {
      await replayConfig(config as JsonConfig, app.rpc, replay);
    },
    async afterInit(app) {
      await replayConfig(config as JsonConfig, app.rpc, replay);
    },
  };
}

async function load(path: string): Promise<JsonConfig> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw toSpdkError(error, `configuration ${path}`);
  }
  try {
    return parseConfig(text);
  } catch (error) {
    throw new SpdkError('EINVAL', `configuration ${path}: ${(error as Error).message}`, { cause: error });
  }
}
