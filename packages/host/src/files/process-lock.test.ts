import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ProcessLock } from "./process-lock.ts";

const base = mkdtempSync(join(tmpdir(), "holdfast-lock-"));
after(() => rmSync(base, { recursive: true, force: true }));

test("process lock: who looks learns whether it is held, and changes nothing", () => {
  const path = join(base, "a.lock");
  assert.equal(ProcessLock.isHeld(path), false);
  assert.deepEqual(readdirSync(base), []);
  const lock = ProcessLock.tryTake(path);
  assert.equal(ProcessLock.isHeld(path), true);
  assert.equal(ProcessLock.tryTake(path), undefined, "it is held after somebody has looked, too");
  assert.equal(ProcessLock.holder(path), process.pid);
  lock?.release();
  assert.equal(ProcessLock.isHeld(path), false);
  assert.deepEqual(readdirSync(base).sort(), ["a.lock", "a.pid"]);
});
