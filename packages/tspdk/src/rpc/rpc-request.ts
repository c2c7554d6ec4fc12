/**
 * What counts as a request: the members of JSON-RPC 2.0 (section 4) as SPDK reads them.
 *
 * SPDK is laxer than the standard in one point (`jsonrpc` may be missing) and stricter in another (a member that is
 * none of the four makes the request invalid). A request without id, or with id null, is a notification: success is
 * not answered, failure is, with id null.
 */
import { RPC_INVALID_REQUEST, RpcError } from './rpc-error.ts';

export type RpcId = string | number | bigint | null;

export interface RpcRequest {
  readonly method: string;
  readonly params: unknown;
  /** null: a notification. */
  readonly id: RpcId;
}

const MEMBERS = new Set(['jsonrpc', 'method', 'params', 'id']);

/** The request in a parsed value. @throws {RpcError} -32600, and then the reply has id null */
export function readRequest(value: unknown): RpcRequest {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('not an object');
  const { jsonrpc, method, params, id } = value as Record<string, unknown>;
  for (const key of Object.keys(value)) {
    if (!MEMBERS.has(key)) throw invalid(`unknown member '${key.slice(0, 64)}'`);
  }
  if (jsonrpc !== undefined && jsonrpc !== '2.0') throw invalid("jsonrpc must be '2.0'");
  if (typeof method !== 'string') throw invalid('method must be a string');
  if (id !== undefined && id !== null && typeof id !== 'string' && typeof id !== 'number' && typeof id !== 'bigint') {
    throw invalid('id must be a string, a number or null');
  }
  if (params !== undefined && typeof params !== 'object') throw invalid('params must be an object');
  return { method, params: params ?? undefined, id: id ?? null };
}

function invalid(detail: string): RpcError {
  return new RpcError(RPC_INVALID_REQUEST, undefined, detail);
}
