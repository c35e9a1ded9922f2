import assert from "node:assert/strict";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { DatabaseSync } from "node:sqlite";
import { openPeers } from "../mod.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { JsonFile } from "./json-file.ts";
import { openState } from "./open-state.ts";

const directory = fs.mkdtempSync(join(tmpdir(), "holdfast-files-"));
after(() => fs.rmSync(directory, { recursive: true }));
let files = 0;
const fresh = (extension: string): string => join(directory, `${++files}.${extension}`);
const ROW = [{ key: "k", text: "{}" }];

for (const extension of ["db", "json"]) {
  test(`state files (${extension}): a directory of that name is left alone, costs no call, and is tried again`, async () => {
    const state = fresh(extension);
    fs.mkdirSync(state);
    const clock = new VirtualClock();
    const peers = openPeers({ state, clock });
    peers.block("a");
    await clock.advance(3000);
    assert.deepEqual(fs.readdirSync(directory).filter((name) => name.startsWith(`${files}.`)), [`${files}.${extension}`]);
    fs.rmdirSync(state);
    await clock.advance(1000);
    peers.close();
    const second = openPeers({ state });
    assert.deepEqual(second.keys(), ["a"]);
    second.close();
  });

  test(`state files (${extension}): through a link, which stays one`, () => {
    const [state, link] = [fresh(extension), fresh(extension)];
    openState(state).exchange(() => ROW);
    fs.symlinkSync(state, link);
    openState(link).exchange(() => [{ key: "l", text: "{}" }]);
    assert.ok(fs.lstatSync(link).isSymbolicLink());
    assert.equal(openState(state).read().length, 2);
  });

  test(`state files (${extension}): who has it open when it is removed writes a new one`, () => {
    const state = fresh(extension);
    const [one, other] = [openState(state), openState(state)];
    assert.equal(one.exchange(() => ROW), true);
    assert.equal(other.read().length, 1);
    for (const end of ["", "-wal", "-shm"]) fs.rmSync(state + end, { force: true });
    assert.equal(one.exchange(() => [{ key: "n", text: "{}" }]), true);
    assert.ok(other.read().some(({ key }) => key === "n"));
    assert.ok(openState(state).read().some(({ key }) => key === "n"));
    for (const store of [one, other]) store.close();
  });

  test(`state files (${extension}): what one process has taken out no other puts back`, () => {
    const state = fresh(extension);
    const [one, other] = [openState(state), openState(state)];
    one.exchange(() => ROW);
    other.read();
    one.remove?.(["k"]);
    other.exchange(() => [{ key: "o", text: "{}" }]);
    assert.deepEqual(openState(state).read().map(({ key }) => key), ["o"]);
  });

  test(`state files (${extension}): a program that asks ever new peers does not fill it within the day`, async () => {
    const state = fresh(extension);
    const clock = new VirtualClock();
    const peers = openPeers({ state, clock, peersMax: 10 });
    for (let call = 0; call < 500; call++) {
      await peers.run(`peer ${call}`, () => 1);
      if (call % 5 === 4) await clock.advance(1000);
    }
    peers.close();
    const rows = openState(state).read();
    assert.ok(rows.length <= 40, `${rows.length}`);
    assert.ok(rows.some(({ key }) => key === "peer 499"));
  });

  test(`state files (${extension}): the last word on a block counts, also after the wall clock was set back by a year`, async () => {
    const state = fresh(extension);
    const YEAR_MS = 365 * 24 * 3600 * 1000;
    const wallMs = Date.now();
    const [fast, right] = [new VirtualClock({ wallMs: wallMs + YEAR_MS }), new VirtualClock({ wallMs })];
    const first = openPeers({ state, clock: fast });
    first.block("a");
    first.block("b", { forMs: 60_000 });
    first.close();
    const [second, third] = [openPeers({ state, clock: right }), openPeers({ state, clock: right })];
    assert.equal(third.explain("a").state, "blocked");
    assert.equal(third.explain("b").retryAfterMs, 60_000);
    assert.equal(second.unblock("a"), true);
    await right.advance(1001);
    assert.equal(third.explain("a").state, "open");
    for (const peers of [second, third]) peers.close();
  });
}

test("state files (json): what a killed process left is removed with its lock, whenever that was", () => {
  for (const agoMs of [11_000, -365 * 24 * 3600 * 1000]) {
    const state = fresh("json");
    for (const end of [".lock", ".4711.tmp"]) fs.writeFileSync(state + end, "4711");
    fs.utimesSync(`${state}.lock`, new Date(), new Date(Date.now() - agoMs));
    assert.equal(openState(state).exchange(() => ROW), true);
    assert.deepEqual(fs.readdirSync(directory).filter((name) => name.startsWith(`${files}.`)), [`${files}.json`]);
  }
});

test("state files (json): writes through no link that somebody put in its way", () => {
  const state = fresh("json");
  const precious = fresh("txt");
  fs.writeFileSync(precious, "precious");
  fs.symlinkSync(precious, `${state}.${process.pid}.tmp`);
  assert.equal(openState(state).exchange(() => ROW), true);
  assert.equal(fs.readFileSync(precious, "utf8"), "precious");
  assert.deepEqual(openState(state).read(), ROW);
});

test("state files (json): a write that fails leaves the file, and nothing beside it", () => {
  const state = fresh("json");
  openState(state).exchange(() => ROW);
  const before = fs.readFileSync(state, "utf8");
  const full = { ...fs, renameSync: () => assert.fail("no space") };
  assert.throws(() => new JsonFile(state, full).exchange(() => [{ key: "o", text: "{}" }]), /no space/);
  assert.equal(fs.readFileSync(state, "utf8"), before);
  assert.deepEqual(fs.readdirSync(directory).filter((name) => name.startsWith(`${files}.`)), [`${files}.json`]);
});

test("state files (json): one that cannot be read at the moment is no damaged one", () => {
  const state = fresh("json");
  openState(state).exchange(() => ROW);
  let isOut = true;
  const busy = { ...fs, readFileSync: ((...of: Parameters<typeof fs.readFileSync>) => {
    if (isOut) throw Object.assign(new Error("too many open files"), { code: "EMFILE", errno: -24 });
    return fs.readFileSync(...of);
  }) as typeof fs.readFileSync };
  const store = new JsonFile(state, busy);
  assert.throws(() => store.read(), /too many/);
  isOut = false;
  assert.deepEqual(store.read(), ROW);
});

test("state files (db): a failure is told as it was, and does not stand in the way of what comes after it", () => {
  const state = fresh("db");
  const store = openState(state);
  store.exchange(() => ROW);
  const other = new DatabaseSync(state);
  other.exec("CREATE TRIGGER a BEFORE DELETE ON peers BEGIN SELECT RAISE(ABORT, 'no'); END; CREATE TRIGGER b BEFORE UPDATE ON peers BEGIN SELECT RAISE(ROLLBACK, 'full'); END");
  assert.throws(() => store.remove?.(["k"]), /no/);
  assert.throws(() => store.exchange(() => ROW), /full/);
  assert.equal(store.exchange(() => [{ key: "o", text: "{}" }]), true);
  other.close();
  store.close();
});

test("state files: whoever closes while others write for long is told that the last second is lost", async () => {
  const state = fresh("json");
  const peers = openPeers({ state });
  peers.block("a");
  fs.writeFileSync(`${state}.lock`, "");
  const warned = once(process, "warning");
  peers.close();
  const [{ message }] = await warned as [Error];
  assert.match(message, /the last second is not written/);
});
