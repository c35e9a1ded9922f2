import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

const KILL_TEST = fileURLToPath(new URL("../kill-test.ts", import.meta.url));

test("kill test: ten kills of random members at random moments: nothing lost, nothing counted twice", { timeout: 280_000 }, async () => {
  const base = mkdtempSync(join(tmpdir(), "holdfast-kill-"));
  try {
    const flags = process.execArgv.filter((flag) => !flag.startsWith("--test"));
    const args = [...flags, KILL_TEST, "--kills", "10", "--seed", "7", "--data", join(base, "data")];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    child.stdout.on("data", (chunk) => (said += String(chunk)));
    child.stderr.on("data", (chunk) => (said += String(chunk)));
    const [code] = await once(child, "close");
    assert.equal(code, 0, said);
    assert.match(said, /kill 10 of 10/);
    assert.match(said, /passed: 10 kills, seed 7/);
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});
