export function snapshotOf(_: unknown): Uint8Array { throw new Error("pending"); }
