/**
 * What a JSON-RPC reply says when a call failed.
 *
 * Numbers and texts are SPDK's (include/spdk/jsonrpc.h, lib/jsonrpc), since clients compare them. What exactly was wrong
 * goes into the `data` member that JSON-RPC 2.0 (section 5.1) has for it: SPDK's rpc.py prints it, others ignore it.
 */
import { SpdkError } from '../env/errors.ts';
import { strerror } from './strerror.ts';

export const RPC_PARSE_ERROR = -32700;
export const RPC_INVALID_REQUEST = -32600;
export const RPC_METHOD_NOT_FOUND = -32601;
export const RPC_INVALID_PARAMS = -32602;
export const RPC_INTERNAL_ERROR = -32603;
/** The method exists, and not in the present state (SPDK_JSONRPC_ERROR_INVALID_STATE). */
export const RPC_INVALID_STATE = -1;

const TEXTS: ReadonlyMap<number, string> = new Map([
  [RPC_PARSE_ERROR, 'Parse error'],
  [RPC_INVALID_REQUEST, 'Invalid request'],
  [RPC_METHOD_NOT_FOUND, 'Method not found'],
  [RPC_INVALID_PARAMS, 'Invalid parameters'],
  [RPC_INTERNAL_ERROR, 'Internal error'],
]);

/** The standard text of a JSON-RPC error number. */
export function rpcErrorText(code: number): string {
  return TEXTS.get(code) ?? 'Error';
}

/** The `error` member of a reply. */
export interface RpcErrorObject {
  code: number;
  message: string;
  data?: unknown;
}

/** A failed call, at both ends: a handler throws it to choose number and text; a client's call rejects with it. */
export class RpcError extends Error {
  /** JSON-RPC number, or -errno. */
  readonly code: number;
  /** The text on the wire; `message` adds the detail for people. */
  readonly text: string;
  /** Detail, mostly a string. */
  readonly data: unknown;

  constructor(code: number, text: string = rpcErrorText(code), data?: unknown) {
    super(typeof data === 'string' && data !== '' ? `${text}: ${data}` : text);
    this.name = 'RpcError';
    this.code = code;
    this.text = text;
    this.data = data;
  }

  /** `-errno` with the C library's text, as SPDK answers. `errno` is positive. */
  static fromErrno(errno: number, detail?: string): RpcError {
    return new RpcError(-errno, strerror(errno), detail);
  }
  /** -32602 with SPDK's text and what is wrong as detail. */
  static invalidParams(detail: string): RpcError {
    return new RpcError(RPC_INVALID_PARAMS, undefined, detail);
  }

  /** As the `error` member of a reply. */
  toObject(): RpcErrorObject {
    const object: RpcErrorObject = { code: this.code, message: this.text };
    if (this.data !== undefined) object.data = this.data;
    return object;
  }
}

/**
 * What the peer is told of anything a handler threw: an RpcError as it is, a SpdkError as -errno with the C library's
 * text and its own message as detail, anything else as Internal error.
 */
export function toRpcError(error: unknown): RpcError {
  if (error instanceof RpcError) return error;
  if (error instanceof SpdkError) return RpcError.fromErrno(error.errno, error.message);
  return new RpcError(RPC_INTERNAL_ERROR, undefined, error instanceof Error ? error.message : String(error));
}
