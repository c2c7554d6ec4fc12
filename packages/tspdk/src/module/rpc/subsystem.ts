/** RPC methods that save the configuration (SPDK: lib/event/app_rpc.c, subsystem_rpc.c). */
import { SpdkError } from '../../env/errors.ts';
import { type ConfigSubsystem, RPC_RUNTIME, type RpcRegistry } from '../../rpc/index.ts';

/** framework_get_subsystems, framework_get_config. `subsystems` gives them in order of initialisation. */
export function registerSubsystemRpc(
  registry: RpcRegistry,
  deps: { subsystems: () => readonly ConfigSubsystem[] },
): void {
  registry.register({
    name: 'framework_get_subsystems',
    states: RPC_RUNTIME,
    params: [],
    summary: 'Lists the subsystems in order of initialisation, with what they depend on.',
    handler: () => deps.subsystems().map(({ name, dependsOn }) => ({ subsystem: name, depends_on: [...dependsOn] })),
  });
  registry.registerAlias('get_subsystems', 'framework_get_subsystems');

  registry.register({
    name: 'framework_get_config',
    states: RPC_RUNTIME,
    params: [
      { name: 'name', type: 'string', required: true, description: 'The subsystem' },
      { name: 'with_batches', type: 'boolean', default: false, description: 'Accepted; nothing is grouped here' },
    ],
    summary: 'Lists the calls that would bring a subsystem into its present state.',
    handler: async ({ name }) => {
      const subsystem = deps.subsystems().find((candidate) => candidate.name === name);
      if (subsystem === undefined) throw new SpdkError('EINVAL', `subsystem '${name}' does not exist`);
      return (await subsystem.writeConfigJson?.()) ?? [];
    },
  });
  registry.registerAlias('get_subsystem_config', 'framework_get_config');
}
