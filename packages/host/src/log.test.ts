import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

/** What a program prints on stderr that opens a log as `log` and runs `body`. */
function printed(options: object, body: string): string {
  const program = `
    import { openLog } from ${JSON.stringify(new URL("./log.ts", import.meta.url).href)};
    import { RuntimeError } from "@holdfast/core";
    const log = openLog(${JSON.stringify(options)});
    ${body}`;
  const { stdout, stderr } = spawnSync(process.execPath, [...process.execArgv, "--input-type=module-typescript", "-e", program], { encoding: "utf8", cwd: import.meta.dirname });
  assert.equal(stdout, "", "stdout is the program's own");
  return stderr;
}

test("log: one JSON line each, with level, name, error code and details", () => {
  const lines = printed({ level: "info", name: "ann" }, `
    log.debug("unseen");
    log.warn({ err: new RuntimeError("STORE_BUSY", { path: "/x", bytes: 5n }) }, "cannot start");
    process.exit(1); // nothing is lost at exit`).trim().split("\n").map((line) => JSON.parse(line));
  assert.equal(lines.length, 1);
  const [{ level, name, msg, err, time }] = lines;
  assert.deepEqual({ level, name, msg }, { level: 40, name: "ann", msg: "cannot start" });
  assert.deepEqual({ code: err.code, details: err.details }, { code: "STORE_BUSY", details: { path: "/x", bytes: 5 } });
  assert.ok(Date.parse(time) > 0);
});

test("log: secrets are struck out", () => {
  const text = printed({ level: "info", name: "ann" }, `log.info({ keyPem: "SECRET", identity: { peerId: "p", keyPem: "SECRET", privateKey: "SECRET" } }, "started")`);
  assert.doesNotMatch(text, /SECRET/);
  assert.match(text, /started/);
});

test("log: readable where people read", () => {
  const text = printed({ level: "info", name: "ann", pretty: true }, `log.info({ port: 7 }, "started"); process.exit(1);`);
  assert.match(text, /INFO.*\(ann.*\): started\n\s+port: 7/);
});
