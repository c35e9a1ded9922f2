import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryDisk, memoryStore } from "./memory-store.ts";
import { storeConformance } from "./testing/store-conformance.ts";

storeConformance("memory store", async () => {
  const disk = new MemoryDisk();
  return { open: async () => memoryStore(disk), remove: async () => {} };
});

test("memory store: T2, an owner that was overtaken can commit nothing any more", async () => {
  const disk = new MemoryDisk();
  const first = memoryStore(disk);
  await first.claim("ann");
  disk.release(); // as if it had died, although it lives on
  const second = memoryStore(disk);
  await second.claim("ann");
  await assert.rejects(first.commit({ position: 1, puts: [["a", Buffer.from("1")]], deletes: [] }), { code: "STORE_FENCED" });
  await second.commit({ position: 1, puts: [["b", Buffer.from("2")]], deletes: [] });
  await first.close(); // must not release what the second owns
  await assert.rejects(memoryStore(disk).claim("ann"), { code: "STORE_BUSY" });
  assert.deepEqual([...disk.rows.keys()], ["b"]);
});
