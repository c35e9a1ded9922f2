import { captureRows, decodeSnapshot, type Encoded, encodeSnapshot, foldDifferences, snapshotOrigin } from "@holdfast/core";
import { require } from "../violation.ts";
import type { Machine } from "../world/machine.ts";
import type { Process } from "../world/process.ts";
import { sameBytes } from "./same-bytes.ts";

/** Has the process nothing that is not durable? Only then is there a state that a snapshot and the disk both hold. */
export function isAtRestOnDisk({ running, owner, machine, driver }: Process): boolean {
  return running && owner.fence === machine.disk.fence && !driver.engine.hasChanges && driver.position === machine.disk.position && owner.durable === driver.position;
}

/**
 * Takes a snapshot of a process that is at work, between two turns and at a durable position.
 *
 *   S1. It holds the state that the process has, and that the disk has.
 *   S2. Read and written again it is the same, byte for byte.
 *   S3. Taking it changes nothing.
 */
export function checkSnapshot({ name, engine, driver, owner, machine }: Process): void {
  const numbers = { fence: owner.fence, position: driver.position };
  const captured = captureRows(engine.state);
  const bytes = encodeSnapshot(captured, numbers);
  const rows = decodeSnapshot(bytes);
  requireNone(differing(captured, rows), () => `${name}'s snapshot reads as other rows than went into it`); // S2
  require(sameBytes(encodeSnapshot(rows, numbers), bytes), "snapshot", () => `${name}'s snapshot is written in two ways`); // S2
  const { position, fence } = snapshotOrigin(bytes);
  require(position === numbers.position && fence === numbers.fence, "snapshot", () => `${name}'s snapshot is of ${position}/${fence}, not of ${driver.position}/${owner.fence}`);
  requireNone(foldDifferences(engine.state, rows), () => `${name}'s snapshot restores to another state`); // S1
  requireNone(foldDifferences(engine.state, snapshotOfDisk(machine)), () => `a snapshot of ${name}'s disk restores to another state`); // S1
  requireNone(differing(captured, captureRows(engine.state)), () => `${name} is another one after its snapshot`); // S3
  require(!engine.hasChanges, "snapshot", () => `${name} has something to store after its snapshot`); // S3
}

/** What the disk holds, through a snapshot. */
export function snapshotOfDisk({ disk }: Machine): Encoded[] {
  return decodeSnapshot(encodeSnapshot([...disk.rows], { fence: disk.fence, position: disk.position }));
}

function differing(a: readonly Encoded[], b: readonly Encoded[]): string[] {
  const others = new Map(b);
  const differing = a.filter(([key, bytes]) => !sameBytes(others.get(key) ?? new Uint8Array(), bytes)).map(([key]) => key);
  return a.length === b.length ? differing : [...differing, `${a.length} rows, not ${b.length}`];
}

function requireNone(keys: readonly string[], message: () => string): void {
  require(keys.length === 0, "snapshot", () => `${message()}: ${keys.join(", ")}`);
}
