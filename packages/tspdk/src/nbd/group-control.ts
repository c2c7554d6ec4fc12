/**
 * What the target, on the app core, has the poll groups of all reactors do. Control calls: numbers, names and descriptors cross, no objects.
 */
import { SpdkError } from '../env/errors.ts';
import { defineControl, type Reactor } from '../event/index.ts';
import type { ExportConfig } from './export.ts';
import { type ConnectionInfo, groupEvents, PollGroup, pollGroups } from './poll-group.ts';

/** @throws {SpdkError} ESHUTDOWN when there is none, or none any more. */
export function groupOf(reactor: Reactor): PollGroup {
  const { group } = reactor.local(pollGroups);
  if (group === null) throw new SpdkError('ESHUTDOWN', `no NBD poll group on core ${reactor.core}`);
  return group;
}

export const openGroup = defineControl('nbd.group.open', (_: null, reactor): void => {
  reactor.local(pollGroups).group ??= new PollGroup(reactor);
});

export const closeGroup = defineControl('nbd.group.close', async (_: null, reactor): Promise<void> => {
  const place = reactor.local(pollGroups);
  await place.group?.close();
  place.group = null;
});

export const addLanes = defineControl('nbd.group.add_lanes', (payload: { segmentId: number }, reactor): void => {
  groupOf(reactor).addLanes(reactor.segments.get(payload.segmentId));
});

/** An accepted socket, to this reactor. Its descriptor is closed here whatever happens. */
export const adoptConnection = defineControl(
  'nbd.connection.adopt',
  (payload: { id: number; fd: number; peer: string }, reactor): void => {
    const group = groupOf(reactor);
    try {
      group.adopt(payload.id, payload.fd, payload.peer);
    } catch (error) {
      if (!group.connections.has(payload.id)) group.socks.refuse(payload.fd);
      throw error;
    }
  },
);

export const drainConnections = defineControl(
  'nbd.connection.drain',
  (payload: { ids: readonly number[] }, reactor): void => {
    for (const id of payload.ids) groupOf(reactor).drain(id);
  },
);

/** Opens an export's bdev here. The app core's replica tells the target when the bdev goes away by itself. */
export const openExport = defineControl('nbd.export.open', (config: ExportConfig, reactor): void => {
  const group = groupOf(reactor);
  group.openExport(config, (exp) => {
    group.exportGoes(exp);
    if (reactor.core === reactor.app.mainCore) reactor.local(groupEvents).exportRemoved(exp.name);
  });
});

/** Resolves when exports of that name whose bdev went by itself are closed here. */
export const awaitRemoval = defineControl('nbd.export.await_removal', async (payload: { name: string }, reactor) => {
  await reactor.local(pollGroups).group?.removalOf(payload.name);
});

export const closeExport = defineControl(
  'nbd.export.close',
  (payload: { name: string }, reactor): Promise<void> => groupOf(reactor).closeExport(payload.name),
);

export const listConnections = defineControl('nbd.connection.list', (_: null, reactor): ConnectionInfo[] => {
  return reactor.local(pollGroups).group?.info() ?? [];
});
