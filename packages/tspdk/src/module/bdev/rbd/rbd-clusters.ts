/**
 * The connections to Ceph of an application: those with a name, which several disks share, and those of single disks. App core only.
 */
import { SpdkError } from '../../../env/errors.ts';
import { localKey, type Reactor } from '../../../event/reactor.ts';
import { coresForCeph, RbdConnection } from './rbd-connection.ts';

/** Of bdev_rbd_register_cluster. */
export interface RbdClusterParams {
  readonly name: string;
  readonly user_id?: string | undefined;
  readonly config_param?: Record<string, unknown> | undefined;
  readonly config_file?: string | undefined;
  readonly key_file?: string | undefined;
  readonly core_mask?: string | undefined;
}

interface NamedCluster {
  readonly params: RbdClusterParams;
  readonly connection: RbdConnection;
  /** Disks on it. */
  users: number;
}

/** Ceph's options are texts. @throws {SpdkError} EINVAL */
export function cephOptions(options: Record<string, unknown> | undefined): Record<string, string> | undefined {
  if (options === undefined) return undefined;
  for (const [name, value] of Object.entries(options)) {
    if (typeof value !== 'string') throw new SpdkError('EINVAL', `Ceph option ${name} is no string: ${value}`);
  }
  return options as Record<string, string>;
}

export class RbdClusters {
  readonly #reactor: Reactor;
  readonly #named = new Map<string, NamedCluster>();
  /** Names that are being connected. */
  readonly #reserved = new Set<string>();

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
  }

  /** Connects. @throws {SpdkError} EEXIST; EINVAL; ENOTSUP without librbd; what connecting fails with */
  async register(params: RbdClusterParams): Promise<string> {
    const { name } = params;
    if (this.#named.has(name) || this.#reserved.has(name)) {
      throw new SpdkError('EEXIST', `Ceph cluster "${name}" is already registered`);
    }
    this.#reserved.add(name);
    try {
      const connection = await RbdConnection.open({
        userId: params.user_id,
        config: cephOptions(params.config_param),
        configFile: params.config_file,
        keyFile: params.key_file,
        cores: coresForCeph(params.core_mask, this.#reactor),
      });
      this.#named.set(name, { params, connection, users: 0 });
      return name;
    } finally {
      this.#reserved.delete(name);
    }
  }

  /** @throws {SpdkError} ENOENT; EBUSY while a disk is on it */
  async unregister(name: string): Promise<void> {
    const cluster = this.#get(name);
    if (cluster.users > 0) throw new SpdkError('EBUSY', `Ceph cluster "${name}" is in use by ${cluster.users} disks`);
    this.#named.delete(name);
    await cluster.connection.close();
  }

  /** Of all, or of one. @throws {SpdkError} ENOENT */
  info(name: string | undefined): object {
    if (name !== undefined) return clusterInfo(this.#get(name).params);
    return [...this.#named.values()].map(({ params }) => clusterInfo(params));
  }

  configCalls(): { method: string; params: Record<string, unknown> }[] {
    return [...this.#named.values()].map(({ params }) => ({
      method: 'bdev_rbd_register_cluster',
      params: { ...params },
    }));
  }

  /** The connection named `name`, for one more disk. @throws {SpdkError} ENOENT */
  take(name: string): RbdConnection {
    const cluster = this.#get(name);
    cluster.users++;
    return cluster.connection;
  }

  /** One disk less. */
  put(name: string): void {
    const cluster = this.#named.get(name);
    if (cluster !== undefined) cluster.users--;
  }

  /** Every disk is gone: leaves all clusters. */
  async fini(): Promise<void> {
    const all = [...this.#named.values()];
    this.#named.clear();
    await Promise.all(all.map(({ connection }) => connection.close()));
  }

  #get(name: string): NamedCluster {
    const cluster = this.#named.get(name);
    if (cluster === undefined) throw new SpdkError('ENOENT', `no Ceph cluster "${name}" is registered`);
    return cluster;
  }
}

function clusterInfo({ name, ...rest }: RbdClusterParams): object {
  return { cluster_name: name, ...rest };
}

const clustersKey = localKey('bdev_rbd_clusters', (reactor) => new RbdClusters(reactor));

export function rbdClusters(reactor: Reactor): RbdClusters {
  return reactor.local(clustersKey);
}
