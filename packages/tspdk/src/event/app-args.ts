/**
 * SPDK's start-up flags: every one that spdk_tgt knows is accepted, so that scripts written for SPDK start this too.
 *
 * Flags about what does not exist here (huge pages, PCI, DPDK) are taken and said once to have no effect; nothing is ignored in silence.
 * The table below is also the source of `--help` and of the generated reference. SPDK: spdk_app_parse_args.
 */
import { Cpuset } from '../env/cpuset.ts';
import { SpdkError } from '../env/errors.ts';

/** One flag of the command line. */
export interface FlagSpec {
  /** Long name without dashes. */
  readonly name: string;
  readonly short?: string;
  /** Other long names. */
  readonly aliases?: readonly string[];
  /** Name of the value in help; without it the flag takes none. */
  readonly value?: string;
  readonly summary: string;
  /** Why the flag has no effect here. */
  readonly noEffect?: string;
  readonly repeat?: boolean;
}

const NO_HUGE = 'there are no huge pages here';
const NO_PCI = 'there is no PCI access here';
const NO_DPDK = 'there is no DPDK here';

/** The flags of every application. */
export const APP_FLAGS: readonly FlagSpec[] = [
  { name: 'config', short: 'c', aliases: ['json'], value: 'FILE', summary: 'JSON configuration to load' },
  { name: 'json-ignore-init-errors', summary: 'go on when a call of the configuration fails' },
  {
    name: 'limit-coredump',
    short: 'd',
    summary: 'no unlimited core files',
    noEffect: 'core file limits are left as they are',
  },
  { name: 'tpoint-group', short: 'e', value: 'GROUP', summary: 'trace groups', noEffect: 'tracing does not exist yet' },
  { name: 'num-trace-entries', value: 'N', summary: 'trace entries of a core', noEffect: 'tracing does not exist yet' },
  { name: 'single-file-segments', short: 'g', summary: 'one huge page file', noEffect: NO_HUGE },
  { name: 'help', short: 'h', summary: 'this text' },
  {
    name: 'shm-id',
    short: 'i',
    value: 'ID',
    summary: 'shared memory id',
    noEffect: 'memory is not shared between processes',
  },
  { name: 'cpumask', short: 'm', value: 'MASK', summary: 'cores: a mask (0x3) or a list ([0,2-4]); default 0x1' },
  { name: 'lcores', value: 'LIST', summary: 'the same as a list: 0,2-4' },
  { name: 'mem-channels', short: 'n', value: 'N', summary: 'memory channels', noEffect: NO_DPDK },
  { name: 'main-core', short: 'p', value: 'CORE', summary: 'the core of the app thread; default the lowest' },
  {
    name: 'rpc-socket',
    short: 'r',
    value: 'ADDR',
    summary: 'RPC address: a path or 127.0.0.1:PORT; default /var/tmp/spdk.sock',
  },
  { name: 'no-rpc-server', summary: 'no RPC server' },
  { name: 'rpcs-allowed', value: 'LIST', summary: 'only these RPC methods, comma separated' },
  { name: 'mem-size', short: 's', value: 'MB', summary: 'memory', noEffect: 'memory is taken as it is needed' },
  { name: 'no-huge', summary: 'run without huge pages', noEffect: NO_HUGE },
  { name: 'huge-dir', value: 'DIR', summary: 'huge page directory', noEffect: NO_HUGE },
  { name: 'huge-unlink', short: 'R', summary: 'unlink huge pages', noEffect: NO_HUGE },
  { name: 'no-pci', short: 'u', summary: 'no PCI access', noEffect: NO_PCI },
  { name: 'pci-allowed', short: 'A', value: 'BDF', summary: 'allowed PCI device', noEffect: NO_PCI, repeat: true },
  { name: 'pci-blocked', short: 'B', value: 'BDF', summary: 'blocked PCI device', noEffect: NO_PCI, repeat: true },
  { name: 'iova-mode', value: 'MODE', summary: 'I/O address mode', noEffect: NO_DPDK },
  { name: 'base-virtaddr', value: 'ADDR', summary: 'base address', noEffect: NO_DPDK },
  { name: 'env-context', value: 'TEXT', summary: 'options for DPDK', noEffect: NO_DPDK },
  { name: 'vfio-vf-token', value: 'UUID', summary: 'VF token', noEffect: NO_PCI },
  {
    name: 'enforce-numa',
    summary: 'memory of the own node',
    noEffect: 'memory placement is left to the operating system',
  },
  { name: 'msg-mempool-size', value: 'N', summary: 'message pool', noEffect: 'messages need no pool' },
  { name: 'disable-cpumask-locks', summary: 'no lock files for cores', noEffect: 'cores are not locked' },
  {
    name: 'interrupt-mode',
    summary: 'sleep when idle: the default here',
    noEffect: 'adaptive idle is the default; --poll turns it off',
  },
  { name: 'poll', summary: 'never sleep: every reactor takes its core whole' },
  { name: 'idle-poll-us', value: 'US', summary: 'polling after the last work before sleeping' },
  { name: 'no-pin', summary: 'do not pin threads to their cores' },
  { name: 'silence-noticelog', summary: 'print no notices' },
  { name: 'logflag', short: 'L', value: 'FLAG', summary: 'debug log of a component, or all', repeat: true },
  { name: 'version', short: 'v', summary: 'print the version' },
  { name: 'wait-for-rpc', summary: 'wait for framework_start_init before initialising' },
];

/** What the flags came to. */
export interface AppArgs {
  readonly help: boolean;
  readonly version: boolean;
  readonly cores: number[] | undefined;
  readonly mainCore: number | undefined;
  readonly mode: 'adaptive' | 'poll';
  readonly idlePollUs: number | undefined;
  readonly pin: boolean;
  readonly configFile: string | undefined;
  readonly ignoreInitErrors: boolean;
  /** undefined: the default; null: none. */
  readonly rpcAddress: string | null | undefined;
  readonly rpcsAllowed: string[] | undefined;
  readonly waitForRpc: boolean;
  readonly silenceNotice: boolean;
  readonly logFlags: string[];
  /** Lines to say once: flags that have no effect. */
  readonly notes: string[];
  /** Flags of the program itself (see `extra`): name → values. */
  readonly extra: ReadonlyMap<string, string[]>;
  /** What is not a flag. */
  readonly rest: string[];
}

/**
 * Reads a command line of application flags and those of one program.
 * @throws {SpdkError} EINVAL naming the flag: unknown, without its value, with one it does not take, given twice.
 */
export function parseAppArgs(argv: readonly string[], extra: readonly FlagSpec[] = []): AppArgs {
  const given = new Map<string, string[]>();
  const rest = readFlags(argv, [...extra, ...APP_FLAGS], given);
  const one = (name: string): string | undefined => given.get(name)?.[0];
  if (given.has('cpumask') && given.has('lcores'))
    throw new SpdkError('EINVAL', '--cpumask and --lcores exclude each other');
  const mask = one('cpumask') ?? (given.has('lcores') ? `[${one('lcores')}]` : undefined);
  const notes = APP_FLAGS.filter((flag) => flag.noEffect !== undefined && given.has(flag.name)).map(
    (flag) => `--${flag.name} has no effect: ${flag.noEffect}`,
  );
  return {
    help: given.has('help'),
    version: given.has('version'),
    cores: mask === undefined ? undefined : [...Cpuset.parse(mask)],
    mainCore: integer('main-core', one('main-core'), 0),
    mode: given.has('poll') ? 'poll' : 'adaptive',
    idlePollUs: integer('idle-poll-us', one('idle-poll-us'), 0),
    pin: !given.has('no-pin'),
    configFile: one('config'),
    ignoreInitErrors: given.has('json-ignore-init-errors'),
    rpcAddress: given.has('no-rpc-server') ? null : one('rpc-socket'),
    rpcsAllowed: one('rpcs-allowed')?.split(','),
    waitForRpc: given.has('wait-for-rpc'),
    silenceNotice: given.has('silence-noticelog'),
    logFlags: given.get('logflag') ?? [],
    notes,
    extra: new Map([...given].filter(([name]) => extra.some((flag) => flag.name === name))),
    rest,
  };
}

/** A whole number of at least `min`. @throws {SpdkError} EINVAL naming flag and value. */
export function integer(flag: string, text: string | undefined, min: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < min) {
    throw new SpdkError('EINVAL', `--${flag} ${text}: not a whole number of at least ${min}`);
  }
  return value;
}

/** Help text of a flag table, a line a flag. */
export function flagHelp(flags: readonly FlagSpec[]): string {
  const left = flags.map((flag) => {
    const short = flag.short === undefined ? '    ' : `-${flag.short}, `;
    return `  ${short}--${flag.name}${flag.value === undefined ? '' : ` ${flag.value}`}`;
  });
  const width = Math.max(...left.map((text) => text.length)) + 2;
  return flags
    .map((flag, i) => `${left[i]?.padEnd(width)}${flag.summary}${flag.noEffect === undefined ? '' : ' (no effect)'}`)
    .join('\n');
}

/** Splits flags from the rest into `given`. `--` ends the flags. */
function readFlags(argv: readonly string[], flags: readonly FlagSpec[], given: Map<string, string[]>): string[] {
  const rest: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] as string;
    if (word === '--') return [...rest, ...argv.slice(i + 1)];
    if (!word.startsWith('-') || word === '-') {
      rest.push(word);
      continue;
    }
    const { flag, shown, attached } = findFlag(word, flags);
    let value = attached;
    if (flag.value === undefined) {
      if (value !== undefined) throw new SpdkError('EINVAL', `${shown} takes no value, got "${value}"`);
    } else if (value === undefined) {
      value = argv[++i];
      if (value === undefined) throw new SpdkError('EINVAL', `${shown} needs a value: ${flag.value}`);
    }
    const values = given.get(flag.name) ?? [];
    if (values.length > 0 && flag.value !== undefined && flag.repeat !== true) {
      throw new SpdkError('EINVAL', `${shown} is given twice: "${values[0]}" and "${value}"`);
    }
    given.set(flag.name, [...values, value ?? '']);
  }
  return rest;
}

function findFlag(
  word: string,
  flags: readonly FlagSpec[],
): { flag: FlagSpec; shown: string; attached: string | undefined } {
  if (word.startsWith('--')) {
    const eq = word.indexOf('=');
    const name = word.slice(2, eq < 0 ? undefined : eq);
    const flag = flags.find((each) => each.name === name || each.aliases?.includes(name));
    if (flag === undefined) throw new SpdkError('EINVAL', `unknown flag --${name}; --help lists those that exist`);
    return { flag, shown: `--${name}`, attached: eq < 0 ? undefined : word.slice(eq + 1) };
  }
  const flag = flags.find((each) => each.short === word[1]);
  if (flag === undefined) throw new SpdkError('EINVAL', `unknown flag -${word[1]}; --help lists those that exist`);
  return { flag, shown: `-${word[1]}`, attached: word.length > 2 ? word.slice(2) : undefined };
}
