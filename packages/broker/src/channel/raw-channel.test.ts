import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { prepareChannel } from "./prepare-channel.ts";
import { prepareRawChannel, rawChannelAvailable } from "./raw-channel.ts";
import { channelConformance } from "./testing/channel-conformance.ts";
import { TestBackend } from "./testing/test-backend.ts";

if (rawChannelAvailable()) channelConformance("raw");

const options = { skip: !rawChannelAvailable(), timeout: 20_000 };

function inDirectory(body: (directory: string) => Promise<void>): () => Promise<void> {
  return async () => {
    const directory = mkdtempSync(join(tmpdir(), "raw-"));
    try {
      await body(directory);
    } finally {
      rmSync(directory, { recursive: true });
    }
  };
}

function sockets(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith("socket:") ? [target] : [];
    } catch {
      return []; // The descriptor that the list was read with.
    }
  }).sort();
}

test("raw channel: what was prepared leaves nothing behind", options, inDirectory(async (directory) => {
  const before = sockets();
  const prepared = await prepareChannel({ kind: "auto", directory });
  assert.equal(prepared.kind, "raw");
  assert.deepEqual(readdirSync(directory), []);
  assert.equal(sockets().length, before.length + 2);
  prepared.abandon();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(sockets(), before);
}));

test("raw channel: a directory that is not there fails, and leaves nothing behind", options, async () => {
  const before = sockets();
  await assert.rejects(prepareRawChannel("/nowhere/at/all"), { code: "EACCES" }); // libuv's word for it
  await assert.rejects(prepareRawChannel(`/${"x".repeat(200)}`), { code: "EINVAL" }); // too long for an address
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(sockets(), before);
});

test("raw channel: a backend that cannot take it loses it at once", options, inDirectory(async (directory) => {
  const nodeOptions = ["--permission", "--allow-fs-read=*"];
  const backend = new TestBackend(await prepareRawChannel(directory), { nodeOptions });
  await Promise.all([backend.report("start"), backend.until(() => backend.losses === 1)]);
  await backend.end();
}));

test("raw channel: its use warns nobody; where the permission model denies it, it is not available", options, () => {
  const module = JSON.stringify(join(import.meta.dirname, "prepare-channel.ts"));
  const program = (kind: string) => `
    const { prepareChannel } = await import(${module});
    const prepared = await prepareChannel({ kind: ${JSON.stringify(kind)}, directory: ${JSON.stringify(tmpdir())} });
    process.stdout.write(prepared.kind);
    prepared.abandon();`;
  const run = (kind: string, ...flags: string[]) => {
    const args = ["--conditions=holdfast-source", ...flags, "--input-type=module", "-e", program(kind)];
    return spawnSync(process.execPath, args, { encoding: "utf8", env: { ...process.env, NODE_OPTIONS: "" } });
  };
  assert.partialDeepStrictEqual(run("auto"), { stdout: "raw", stderr: "" });
  assert.equal(run("auto", "--permission", "--allow-fs-read=*").stdout, "public");
  assert.match(run("raw", "--permission", "--allow-fs-read=*").stderr, /NOT_RUNNING/);
});

test("raw channel: connections that the kernel will not take are refused, and the channel goes on", options, () => {
  const program = join(import.meta.dirname, "testing", "crowding-broker.ts");
  const shell = ["-c", `ulimit -n 64; exec "$0" "$@"`, process.execPath, "--conditions=holdfast-source", program];
  const unprivileged = process.getuid!() === 0 ? { uid: 65_534, gid: 65_534, cwd: "/" } : {}; // The bound does not hold for root.
  const { offered, accepted, refused, refusedMeanwhile, losses } = JSON.parse(execFileSync("/bin/sh", shell, { ...unprivileged, encoding: "utf8" }));
  assert.ok(accepted > 0 && refusedMeanwhile > 0, `${accepted} accepted, ${refusedMeanwhile} refused at once`);
  assert.deepEqual([accepted + refused, losses], [offered, 0]);
});
