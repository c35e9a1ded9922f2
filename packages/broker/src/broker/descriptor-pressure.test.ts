import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { DescriptorPressure, readDescriptors } from "./descriptor-pressure.ts";

const noProc = process.platform !== "linux" && "needs /proc";

function after(...used: readonly number[]): DescriptorPressure {
  const pressure = new DescriptorPressure();
  for (const each of used) pressure.handleSample(each, 100);
  return pressure;
}

test("descriptor pressure: D1: high begins above 80 %, with one sample", () => {
  assert.equal(after().isHigh, false);
  assert.equal(after(80).isHigh, false);
  assert.equal(after(81).isHigh, true);
});

test("descriptor pressure: D2: high ends with three samples in a row at or below 80 %", () => {
  assert.equal(after(81, 80, 0).isHigh, true);
  assert.equal(after(81, 80, 0, 80).isHigh, false);
  assert.equal(after(81, 0, 0, 81, 0, 0).isHigh, true);
});

test("descriptor pressure: D1 and D2: high exactly if one of the last three samples was, since the last time of peace", () => {
  const sample = fc.record({ used: fc.nat(1_100_000), limit: fc.nat(1_000_000) });
  fc.assert(fc.property(fc.array(sample), (samples) => {
    const pressure = new DescriptorPressure();
    for (const [at, { used, limit }] of samples.entries()) {
      pressure.handleSample(used, limit);
      const recent = samples.slice(Math.max(0, at - 2), at + 1);
      assert.equal(pressure.isHigh, recent.some((each) => BigInt(each.used) * 5n > BigInt(each.limit) * 4n));
      assert.ok(pressure.usedShare >= 0 && pressure.usedShare <= 1);
    }
  }));
});

test("descriptor pressure: the share is the last sample's; without a limit it is 0", () => {
  assert.equal(after(81, 25).usedShare, 0.25);
  const pressure = new DescriptorPressure();
  pressure.handleSample(1_000_000, Infinity);
  assert.equal(pressure.usedShare, 0);
  assert.equal(pressure.isHigh, false);
});

for (const platform of ["linux", "darwin"] as const) {
  test(`descriptors: counted exactly, the way of ${platform}`, { skip: noProc }, () => {
    const before = readDescriptors(platform);
    assert.ok(before !== undefined);
    const opened = Array.from({ length: 100 }, () => openSync("/dev/null", "r"));
    const during = readDescriptors(platform);
    for (const fd of opened) closeSync(fd);
    assert.equal(during?.used, before.used + 100);
    assert.equal(readDescriptors(platform)?.used, before.used);
  });

  test(`descriptors: told even when none is left, the way of ${platform}`, { skip: noProc }, () => {
    const module = JSON.stringify(new URL("descriptor-pressure.ts", import.meta.url).href);
    const { status, stdout, stderr } = spawnSync("sh", ["-c", 'ulimit -n 100; exec "$0" "$@"', process.execPath, "--input-type=module", "-e", `
      import { openSync } from "node:fs";
      const { readDescriptors } = await import(${module});
      const told = [readDescriptors("${platform}")];
      try { for (;;) openSync("/dev/null"); } catch (error) { told.push(error.code); }
      console.log(JSON.stringify([...told, readDescriptors("${platform}")]));
    `], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    const [before, code, after] = JSON.parse(stdout);
    assert.equal(before.limit, 100);
    assert.ok(before.used > 3 && before.used < 80, stdout);
    assert.equal(code, "EMFILE");
    assert.equal(after.limit, 100);
    assert.ok(after.used >= 100, "a descriptor that was inherited may lie above the limit");
  });
}

test("descriptors: both ways agree", { skip: noProc }, () => {
  assert.deepEqual(readDescriptors("darwin"), readDescriptors("linux"));
});

test("descriptors: other systems do not tell", () => {
  assert.equal(readDescriptors("win32"), undefined);
});
