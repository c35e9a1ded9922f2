import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { prettyLine } from "./log-line.ts";
import { NodeLog, type LoggedMessage } from "./node-log.ts";

const base = mkdtempSync(join(tmpdir(), "holdfast-log-"));
after(() => rmSync(base, { recursive: true }));

const bytesOf = (name: string) => statSync(join(base, name)).size;

test("node log: is set aside when it is full, goes on after a restart, and stays bounded", () => {
  for (let run = 0; run < 4; run++) {
    using log = new NodeLog({ name: "ann", directory: base }, () => {}, 1_000);
    for (let n = 0; n < 7; n++) log.info({ run, n }, "x".repeat(50));
  }
  assert.ok(bytesOf("log.1.jsonl") >= 1_000 && bytesOf("log.1.jsonl") < 1_200);
  assert.ok(bytesOf("log.jsonl") > 0 && bytesOf("log.jsonl") < 1_200);
  assert.equal(statSync(join(base, "log.jsonl")).mode & 0o777, 0o600);
  const last = readFileSync(join(base, "log.jsonl"), "utf8").trimEnd().split("\n").at(-1) as string;
  assert.partialDeepStrictEqual(JSON.parse(last), { level: "info", node: "ann", run: 3, n: 6 });
});

test("node log: warnings and errors are told, with what JSON cannot hold as text", () => {
  const told: LoggedMessage[] = [];
  using log = new NodeLog({ name: "ann", directory: base }, (message) => told.push(message));
  log.debug();
  log.info({}, "fine");
  log.warn({ error: new Error("no"), count: 12n }, "link lost");
  log.error({}, "gone");
  assert.deepEqual(told.map(({ line }) => [line.level, line.message, line["error"], line["count"]]), [
    ["warn", "link lost", "no", "12"], ["error", "gone", undefined, undefined],
  ]);
});

test("log line: reads well", () => {
  const line = prettyLine({ time: "2026-01-02T03:04:05.678Z", level: "warn", node: "ann", message: "link lost", peer: "bob", tries: 3 });
  assert.equal(stripVTControlCharacters(line), "03:04:05.678 warn  ann: link lost peer=bob tries=3");
});
