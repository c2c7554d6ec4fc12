/**
 * The bdev subsystem: the block layer with every kind of disk in this folder. Loading this file registers them all, on any reactor.
 */
import { bdevRegistry, faultRegistry, registerBdevRpc, registerFaultRpc } from '../../bdev/index.ts';
import type { App, Subsystem } from '../../event/index.ts';
import { notifyOf } from '../../notify/index.ts';
import './delay/delay-bdev.ts';
import { registerDelayRpc } from './delay/rpc.ts';
import './disk/disk-bdev.ts';
import { bdevModuleConfigCalls } from './disk/examining-modules.ts';
import { registerDiskRpc } from './disk/rpc.ts';
import './error/error-bdev.ts';
import { registerErrorRpc } from './error/rpc.ts';
import './file/file-bdev.ts';
import { registerFileRpc } from './file/rpc.ts';
import { examineGpt } from './gpt/gpt-bdev.ts';
import { registerGptRpc } from './gpt/rpc.ts';
import './logwrites/logwrites-bdev.ts';
import { registerLogWritesRpc } from './logwrites/rpc.ts';
import './malloc/malloc-bdev.ts';
import { registerMallocRpc } from './malloc/rpc.ts';
import './module-params.ts';
import './null/null-bdev.ts';
import { registerNullRpc } from './null/rpc.ts';
import './passthru/passthru-bdev.ts';
import { registerPassthruRpc } from './passthru/rpc.ts';
import './raid/raid-bdev.ts';
import { raidRegistry } from './raid/raid-registry.ts';
import { registerRaidRpc } from './raid/rpc.ts';
import './rbd/rbd-bdev.ts';
import { rbdClusters } from './rbd/rbd-clusters.ts';
import { registerRbdRpc } from './rbd/rpc.ts';
import './split/split-bdev.ts';
import { registerSplitRpc } from './split/rpc.ts';
import './verify/verify-bdev.ts';
import { registerVerifyRpc } from './verify/rpc.ts';

/** The block layer with every kind of disk, as a part of an application. */
export const bdevSubsystem: Subsystem = {
  name: 'bdev',
  modules: [import.meta.url],

  registerRpc(app: App) {
    bdevRegistry(app.reactor).setIoBufCaches = (sizes) => app.setIoBufOptions(sizes);
    const deps = {
      registry: () => bdevRegistry(app.reactor),
      faults: () => faultRegistry(app.reactor),
      nowUs: () => app.reactor.clock.nowUs,
    };
    registerBdevRpc(app.rpc, deps);
    registerFaultRpc(app.rpc, deps);
    registerMallocRpc(app.rpc, deps);
    registerNullRpc(app.rpc, deps);
    registerFileRpc(app.rpc, deps);
    registerDiskRpc(app.rpc, { ...deps, reactor: () => app.reactor });
    registerPassthruRpc(app.rpc, deps);
    registerErrorRpc(app.rpc, deps);
    registerDelayRpc(app.rpc, deps);
    registerLogWritesRpc(app.rpc, deps);
    registerRaidRpc(app.rpc, { raids: () => raidRegistry(app.reactor) });
    registerSplitRpc(app.rpc, deps);
    registerGptRpc(app.rpc, deps);
    registerVerifyRpc(app.rpc, deps);
    registerRbdRpc(app.rpc, deps);
  },

  async init(app: App) {
    const registry = bdevRegistry(app.reactor);
    const notify = notifyOf(app.reactor);
    notify.registerType('bdev_register');
    notify.registerType('bdev_unregister');
    notify.registerType('bdev_resize');
    registry.onRegister = (bdev) => void notify.send('bdev_register', bdev.name);
    registry.onResize = (bdev) => void notify.send('bdev_resize', bdev.name);
    registry.onUnregister = (bdev) => void notify.send('bdev_unregister', bdev.name);
    notify.registerType('fault_struck');
    faultRegistry(app.reactor).onStruck = ({ name, id, struck }) =>
      void notify.send('fault_struck', `${name} rule=${id} struck=${struck}`);
    // RAID disks look at every disk from now on, and before others: one that waits for a disk by its name has it.
    raidRegistry(app.reactor);
    registry.examineHooks.push(examineGpt);
    await registry.init();
  },

  // Before targets finish, which wait for their I/O.
  stopping: (app: App) => faultRegistry(app.reactor).close(),

  async fini(app: App) {
    await bdevRegistry(app.reactor).fini();
    await rbdClusters(app.reactor).fini();
  },

  // Disks may be on clusters, and those that wait for their members, and who looks at all others, come first. What is to go wrong comes last: it is not for what looks at new disks.
  writeConfig: (app: App) => [
    ...rbdClusters(app.reactor).configCalls(),
    ...raidRegistry(app.reactor).configCalls(),
    ...bdevModuleConfigCalls(app.reactor),
    ...bdevRegistry(app.reactor).configCalls(),
    ...faultRegistry(app.reactor).configCalls(),
  ],
};
