import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspectState } from "./inspect.ts";
import { openPeers } from "./mod.ts";

for (const extension of ["db", "json"]) {
  test(`inspect (${extension}): lists what a file knows, and leaves it as it is`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "holdfast-inspect-"));
    t.after(() => rmSync(directory, { recursive: true }));
    const path = join(directory, `peers.${extension}`);
    assert.throws(() => inspectState(path), { code: "NOT_FOUND" });
    const peers = openPeers({ state: path });
    await peers.run("b", () => 1, { site: "GET /" });
    peers.block("a", { reason: "too old" });
    peers.close();
    const listed = inspectState(path);
    assert.deepEqual(listed.map(({ peer, state }) => [peer, state]), [["a", "blocked"], ["b", "open"]]);
    assert.equal(listed[1]?.sites[0]?.samples, 1);
    const damaged = join(directory, `damaged.${extension}`);
    writeFileSync(damaged, "no peers");
    assert.throws(() => inspectState(damaged), { code: "SNAPSHOT_INVALID" });
    assert.ok(readdirSync(directory).includes(`damaged.${extension}`));
  });
}
