import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { assignAddresses, checkAddressesFree } from "./addresses.ts";
import { defineFleet } from "./define-fleet.ts";
import { FleetDirectory } from "./fleet-directory.ts";
import { takeFleetLock } from "./fleet-lock.ts";

const base = mkdtempSync(join(tmpdir(), "holdfast-fleet-"));
after(() => rmSync(base, { recursive: true }));
const fleet = defineFleet({ name: "f", nodes: { ann: {}, bob: { listen: null }, carl: { listen: "/ip4/127.0.0.1/tcp/0" } }, flows: [] });
const node = (name: string, address: string | null = null) => ({ name, id: name, directory: join(base, name), address, service: { domain: "fleet-f", service: name, version: "1.0.0", build: "b" } });

test("fleet directory: is private, and refuses a directory of something else", () => {
  const directory = new FleetDirectory(join(base, "private"));
  directory.create();
  assert.equal(statSync(directory.path).mode & 0o777, 0o700);
  mkdirSync(join(base, "other"));
  writeFileSync(join(base, "other", "thesis"), "");
  assert.throws(() => new FleetDirectory(join(base, "other")).create(), { code: "FLEET_INVALID" });
});

test("fleet directory: knows its nodes; without a name the first", () => {
  const directory = new FleetDirectory(join(base, "records"));
  directory.create();
  assert.throws(() => directory.read(), { code: "NOT_FOUND" });
  directory.write({ format: 2, name: "f", file: "f.ts", nodes: [node("ann"), node("bob")] });
  assert.equal(directory.node(undefined).name, "ann");
  assert.equal(directory.node("bob").name, "bob");
  assert.throws(() => directory.node("dora"), { code: "NOT_FOUND", message: /ann bob/ });
});

test("fleet directory: clearing leaves what is not the fleet's", () => {
  const directory = new FleetDirectory(join(base, "clearing"));
  directory.create();
  directory.write({ format: 2, name: "f", file: "f.ts", nodes: [node("ann"), node("old")] });
  for (const name of ["ann", "old", "mine"]) mkdirSync(join(directory.path, name));
  directory.clear(fleet);
  assert.deepEqual(readdirSync(directory.path), ["mine"]);
  directory.remove();
  assert.deepEqual(readdirSync(directory.path), ["mine"]);
  rmSync(join(directory.path, "mine"), { recursive: true });
  directory.remove();
  assert.equal(statSync(directory.path, { throwIfNoEntry: false }), undefined);
});

test("fleet lock: a second holder is told who holds it, and death lets go of it", async () => {
  const path = join(base, "lock");
  mkdirSync(path);
  const url = new URL("./fleet-lock.ts", import.meta.url).href;
  const script = `const { takeFleetLock } = await import(${JSON.stringify(url)}); globalThis.held = takeFleetLock(${JSON.stringify(path)}); console.log("held"); setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, [...process.execArgv.filter((arg) => !arg.startsWith("--test")), "--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await once(holder.stdout, "data");
  assert.throws(() => takeFleetLock(path), { code: "FLEET_BUSY", message: new RegExp(`pid: ${holder.pid}`) });
  holder.kill("SIGKILL");
  await once(holder, "exit");
  using _lock = takeFleetLock(path);
});

test("addresses: free ports are chosen once and kept; nobody dials a node that does not listen", async () => {
  const first = await assignAddresses(fleet, undefined);
  assert.match(first.get("ann") ?? "", /^\/ip4\/127\.0\.0\.1\/tcp\/[1-9]\d+$/);
  assert.equal(first.get("bob"), null);
  assert.notEqual(first.get("ann"), first.get("carl"));
  const record = { format: 2, name: "f", file: "f.ts", nodes: [...first].map(([name, address]) => node(name, address)) } as const;
  assert.deepEqual(await assignAddresses(fleet, record), first);
  await checkAddressesFree(first);
});

test("addresses: one in use is told with its node", async () => {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = `/ip4/127.0.0.1/tcp/${(server.address() as { port: number }).port}`;
  await assert.rejects(checkAddressesFree(new Map([["ann", address]])), { code: "ADDRESS_IN_USE", message: new RegExp(`node: ann, address: ${address}`) });
  server.close();
});
