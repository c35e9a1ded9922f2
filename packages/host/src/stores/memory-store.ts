import { assert, RuntimeError } from "@holdfast/core";
import type { Batch, Claim, Row, Store } from "./store.ts";

/** What outlives a `memoryStore`: hand the same disk to the next one, and it finds what the last one committed. */
export class MemoryDisk {
  owner: string | undefined;
  fence = 0;
  position = 0;
  readonly rows = new Map<string, Uint8Array>();
  /** The store that owns this disk now. */
  holder: Store | undefined;

  /** What the operating system does when a process dies: its ownership ends, its commits stay. */
  release(): void {
    this.holder = undefined;
  }
}

/** A store without a disk, for tests and for nodes that may forget. Keeps T1–T3 for as long as the `MemoryDisk` lives. */
export function memoryStore(disk = new MemoryDisk()): Store {
  return new MemoryStore(disk);
}

class MemoryStore implements Store {
  readonly #disk: MemoryDisk;
  #fence: number | undefined;
  #closed = false;

  constructor(disk: MemoryDisk) {
    this.#disk = disk;
  }

  async claim(owner: string): Promise<Claim> {
    const disk = this.#disk;
    assert(this.#fence === undefined, "a store is claimed once");
    if (disk.holder !== undefined) throw new RuntimeError("STORE_BUSY", { owner: disk.owner });
    if (disk.owner !== undefined && disk.owner !== owner) throw new RuntimeError("STORE_FOREIGN", { owner: disk.owner });
    disk.holder = this;
    disk.owner = owner;
    this.#fence = ++disk.fence;
    return { fence: this.#fence, position: disk.position };
  }

  async load(): Promise<readonly Row[]> {
    assert(this.#fence !== undefined, "a store is claimed before it is used");
    const rows = [...this.#disk.rows].map(([key, bytes]): Row => [key, bytes.slice()]);
    return rows.sort(([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
  }

  async commit(batch: Batch): Promise<void> {
    const disk = this.#disk;
    if (this.#closed) throw new RuntimeError("STORE_FAILED", { reason: "closed" });
    assert(this.#fence !== undefined, "a store is claimed before it is used");
    if (disk.fence !== this.#fence) throw new RuntimeError("STORE_FENCED", { fence: this.#fence, current: disk.fence }); // T2
    assert(batch.position > disk.position, "positions ascend");
    for (const [key, bytes] of batch.puts) disk.rows.set(key, bytes.slice());
    for (const key of batch.deletes) disk.rows.delete(key);
    disk.position = batch.position;
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#disk.holder === this) this.#disk.release();
  }
}
