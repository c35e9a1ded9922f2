/**
 * Node's own pipes, as its child_process module uses them: the only way to write a descriptor with every message, instead of
 * one at a time. They are reached by `process.binding`, which is deprecated (DEP0111, silent unless asked for) and denied by
 * the permission model; whoever cannot have them uses the public channel. What is declared here is what we use.
 */

/** Stands for a native socket, in this process or on its way. */
export interface NativeHandle {
  readonly fd: number;
  close(onClose?: () => void): void;
}

export interface NativePipe extends NativeHandle {
  /** Set right before `onread` is called for bytes that a descriptor came with. */
  pendingHandle: NativeHandle | null | undefined;
  /** Without a buffer at the end, and after a failure. */
  onread: (bytes: ArrayBuffer | undefined) => void;
  onconnection: (status: number, accepted: NativeHandle) => void;
  /** Bytes that are not written yet. */
  readonly writeQueueSize: number;
  bind(path: string): number;
  listen(backlog: number): number;
  connect(request: NativeConnect, path: string): number;
  open(fd: number): number;
  readStart(): number;
  /** Sends `handle`, if any, with the first byte. `bytes` stays as it is until the request completes. */
  writeBuffer(request: NativeWrite, bytes: Uint8Array, handle?: NativeHandle): number;
  unref(): void;
}

export interface NativeConnect {
  oncomplete: (status: number) => void;
}

export interface NativeWrite {
  oncomplete: (status: number) => void;
  /** Keeps the bytes. */
  buffer?: Uint8Array;
}

export interface NativePipes {
  readonly Pipe: new (kind: number) => NativePipe;
  readonly ConnectRequest: new () => NativeConnect;
  readonly WriteRequest: new () => NativeWrite;
  /** Kinds of pipe. */
  readonly SERVER: number;
  readonly IPC: number;
}

type Binding = Readonly<Record<string, unknown>>;

const METHODS = ["bind", "listen", "connect", "open", "close", "unref", "readStart", "writeBuffer"];

let pipes: NativePipes | null | undefined;

/** Undefined if this process cannot have them. */
export function nativePipes(): NativePipes | undefined {
  pipes ??= findNativePipes() ?? null;
  return pipes ?? undefined;
}

function findNativePipes(): NativePipes | undefined {
  // Elsewhere a read may end in other places (OfferFrames).
  if (process.platform !== "linux") return undefined;
  try {
    const binding = (process as unknown as { binding(name: string): Binding }).binding;
    const { Pipe, PipeConnectWrap, constants } = binding("pipe_wrap");
    const { WriteWrap } = binding("stream_wrap");
    const { SERVER, IPC } = constants as Binding;
    if (typeof SERVER !== "number" || typeof IPC !== "number") return undefined;
    if ([Pipe, PipeConnectWrap, WriteWrap].some((made) => typeof made !== "function")) return undefined;
    const { prototype } = Pipe as { prototype: object };
    if (!METHODS.every((method) => typeof (prototype as Binding)[method] === "function") || !("writeQueueSize" in prototype)) return undefined;
    return { Pipe, ConnectRequest: PipeConnectWrap, WriteRequest: WriteWrap, SERVER, IPC } as NativePipes;
  } catch {
    return undefined; // Denied.
  }
}
