import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { parseLogLine, prettyLine } from "./log-line.ts";
import { NodeLog } from "./node-log.ts";

const base = mkdtempSync(join(tmpdir(), "holdfast-log-"));
after(() => rmSync(base, { recursive: true }));

test("node log: is set aside when it is full, goes on after a restart, and stays bounded", () => {
  const line = "x".repeat(99);
  for (let run = 0; run < 4; run++) {
    const log = new NodeLog(base, 1_000);
    for (let n = 0; n < 7; n++) log.write(line);
    log.close();
  }
  const [older, newer] = ["log.1.jsonl", "log.jsonl"].map((name) => statSync(join(base, name)).size);
  assert.deepEqual([older, newer], [1_000, 800]);
  assert.equal(statSync(join(base, "log.jsonl")).mode & 0o777, 0o600);
  assert.equal(readFileSync(join(base, "log.jsonl"), "utf8"), `${line}\n`.repeat(8));
});

test("log line: what is no line of ours is an error with that text", () => {
  const ours = { time: "2026-01-02T03:04:05.678Z", level: "warn", node: "ann", message: "link lost", peer: "bob" } as const;
  assert.deepEqual(parseLogLine("ann", JSON.stringify(ours)), ours);
  const other = parseLogLine("ann", "TypeError: no");
  assert.deepEqual([other.level, other.node, other.message], ["error", "ann", "TypeError: no"]);
  assert.equal(parseLogLine("ann", '{"a":1}').message, '{"a":1}');
});

test("log line: reads well", () => {
  const line = prettyLine({ time: "2026-01-02T03:04:05.678Z", level: "warn", node: "ann", message: "link lost", peer: "bob", tries: 3 });
  assert.equal(stripVTControlCharacters(line), "03:04:05.678 warn  ann: link lost peer=bob tries=3");
});
