/**
 * What the app core and the thread of a connection to Ceph say to each other. Structured-cloneable.
 */
import type { ErrorCode } from '../../../env/errors.ts';

/** How to reach a cluster. */
export interface RbdConnectOptions {
  /** Without "client."; default: admin. */
  readonly userId: string | undefined;
  /** Options of Ceph. With them no file is read. */
  readonly config: Readonly<Record<string, string>> | undefined;
  readonly configFile: string | undefined;
  readonly keyFile: string | undefined;
  /** Where the threads of librados and librbd run. */
  readonly cores: readonly number[];
}

/** An image that is open. */
export interface OpenedImage {
  /** rbd_image_t, the same on every thread. */
  readonly image: number;
  readonly sizeBytes: number;
  readonly objectBytes: number;
}

/** The calls, each with what it takes and gives. */
export interface ControlCalls {
  /** Gives the cluster's id. */
  connect(nothing: null): string;
  open(what: { pool: string; image: string; readOnly: boolean }): OpenedImage;
  close(image: number): void;
  /** Gives the new size in bytes. */
  resize(what: { image: number; sizeBytes: number }): number;
  /** The thread's last. */
  shutdown(nothing: null): void;
}

export type ControlRequest = {
  [C in keyof ControlCalls]: {
    readonly id: number;
    readonly call: C;
    readonly payload: Parameters<ControlCalls[C]>[0];
  };
}[keyof ControlCalls];

export type ControlAnswer =
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly code: ErrorCode; readonly message: string };

/** Somebody has given an image another size. */
export interface ResizeNotice {
  readonly kind: 'resized';
  readonly image: number;
  readonly sizeBytes: number;
}
