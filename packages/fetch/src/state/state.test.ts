import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { openPeers } from "../mod.ts";
import type { PeersOptions, StateStore, StoredRow } from "../mod.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { openState } from "./open-state.ts";

const KEY = "https://api.example.com";
const directory = mkdtempSync(join(tmpdir(), "holdfast-fetch-"));
after(() => rmSync(directory, { recursive: true }));
const warnings: string[] = [];
process.on("warning", ({ name, message }) => name === "HoldfastWarning" && warnings.push(message));
let files = 0;
const fresh = (extension: string): string => join(directory, `${++files}.${extension}`);
const fail = (): never => {
  throw Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
};

function open(clock: VirtualClock, state: string | StateStore, options: PeersOptions = {}) {
  return openPeers({ clock, state, ...options });
}

async function failTimes(peers: ReturnType<typeof open>, times: number): Promise<void> {
  for (let failure = 0; failure < times; failure++) await peers.run(KEY, fail).catch(() => {});
}

async function teach(peers: ReturnType<typeof open>, clock: VirtualClock): Promise<void> {
  for (let call = 0; call < 50; call++) {
    const done = peers.run(KEY, () => clock.sleep(400), { site: "GET /" });
    await clock.advance(400);
    await done;
  }
}

/** A clock of another process: it began at another time, and shows the same wall time. */
function anotherProcess(clock: VirtualClock): VirtualClock {
  return new VirtualClock({ seed: 7, wallMs: clock.wallMs() });
}

for (const extension of ["db", "json"]) {
  test(`state (${extension}): a restart knows what was learned: deadlines, health, cooldown, policy`, async () => {
    const state = fresh(extension);
    const clock = new VirtualClock();
    const first = open(clock, state);
    await teach(first, clock);
    await failTimes(first, 5);
    first.block("https://bad.example", { reason: "too old" });
    const before = first.explain(KEY);
    first.close();
    assert.equal(statSync(state).mode & 0o777, 0o600);

    const second = open(anotherProcess(clock), state);
    const now = second.explain(KEY);
    assert.equal(now.state, "cooling-down");
    assert.equal(now.isDown, true);
    assert.equal(now.failuresInARow, 5);
    assert.ok(Math.abs(now.cooldownMs - before.cooldownMs) <= 1, "what is left of it");
    assert.ok(now.deadlineMs < 2 * before.deadlineMs, `${now.deadlineMs} after ${before.deadlineMs} ms`);
    assert.ok(Math.abs((now.srttMs ?? 0) - 400) < 1);
    assert.equal(second.explain("https://bad.example").state, "blocked");
    second.close();
  });

  test(`state (${extension}): who opens it often and asks nobody forgets nothing`, async () => {
    const state = fresh(extension);
    const clock = new VirtualClock();
    const first = open(clock, state);
    await teach(first, clock);
    first.close();
    const deadlines = [];
    for (let start = 0; start < 10; start++) {
      const peers = open(anotherProcess(clock), state);
      peers.block(KEY);
      peers.unblock(KEY);
      deadlines.push(peers.explain(KEY).deadlineMs);
      peers.close();
    }
    assert.deepEqual(new Set(deadlines).size, 1, String(deadlines));
  });

  test(`state (${extension}): a cooldown runs while nobody does, and a peer that failed is then tried by one`, async () => {
    const state = fresh(extension);
    const clock = new VirtualClock();
    const first = open(clock, state, { cooldownBaseMs: 40_000 });
    await failTimes(first, 5);
    const { cooldownMs } = first.explain(KEY);
    first.close();
    await clock.advance(cooldownMs + 1);
    const later = anotherProcess(clock);
    const second = open(later, state, { cooldownBaseMs: 40_000 });
    assert.equal(second.explain(KEY).cooldownMs, 0);
    const probe = second.run(KEY, () => later.sleep(1));
    await assert.rejects(second.run(KEY, () => 1), { code: "PEER_COOLING_DOWN" });
    await later.advance(1);
    await probe;
    second.close();
  });

  test(`state (${extension}): a peer that is half open stays as far as it was`, async () => {
    const state = fresh(extension);
    const clock = new VirtualClock();
    const first = open(clock, state);
    await failTimes(first, 5);
    await clock.advance(1000);
    for (let call = 0; call < 10; call++) await first.run(KEY, () => 1);
    first.close();
    const later = anotherProcess(clock);
    const second = open(later, state);
    assert.equal(second.explain(KEY).state, "half-open");
    const calls = Array.from({ length: 11 }, () => second.run(KEY, () => later.sleep(1)));
    await assert.rejects(second.run(KEY, () => 1), { code: "PEER_COOLING_DOWN" });
    await later.advance(1);
    await Promise.all(calls);
    for (let call = 0; call < 42; call++) await second.run(KEY, () => 1);
    assert.equal(second.explain(KEY).state, "open");
    second.close();
  });

  test(`state (${extension}): a process that runs on takes old rows out once a day; a block does not age`, async () => {
    const state = fresh(extension);
    const clock = new VirtualClock();
    const first = open(clock, state);
    await first.run("old", () => 1);
    first.block("bad", { reason: "too old" });
    first.block("bad for a while", { forMs: 1000 });
    first.close();
    const second = open(clock, state);
    for (let day = 0; day < 32; day++) {
      await second.run(KEY, () => 1);
      await clock.advance(24 * 3600 * 1000 + 1);
    }
    const third = open(anotherProcess(clock), state);
    assert.deepEqual(third.keys().sort(), ["bad", KEY]);
    assert.equal(third.explain("bad").state, "blocked");
    third.close();
    second.close();
  });

  test(`state (${extension}): a wall clock that jumped a year keeps nobody away for longer than a cooldown`, async () => {
    const state = fresh(extension);
    const clock = new VirtualClock();
    const first = open(clock, state);
    await failTimes(first, 5);
    first.close();
    for (const byMs of [-365, 365].map((days) => days * 24 * 3600 * 1000)) {
      const jumped = anotherProcess(clock);
      jumped.moveWall(byMs);
      const second = open(jumped, state);
      assert.ok(second.explain(KEY).cooldownMs <= 60_000);
      second.close();
    }
  });

  test(`state (${extension}): processes that share one hear of each other, by the newest evidence and the longest cooldown`, async () => {
    const state = fresh(extension);
    const clock = new VirtualClock();
    const one = open(clock, state);
    const other = open(clock, state);
    const heard: string[] = [];
    for (const kind of ["down", "up"] as const) other.addEventListener(kind, ({ reason }) => heard.push(`${kind}: ${reason}`));
    await other.run(KEY, () => 1);
    await clock.advance(1);
    await failTimes(one, 5);
    one.block("https://bad.example");
    await clock.advance(2002);
    assert.equal(other.explain(KEY).isDown, true);
    assert.deepEqual(heard, ["down: heard from another process"]);
    assert.equal(other.explain("https://bad.example").state, "blocked");
    assert.equal(one.explain("https://bad.example").state, "blocked");
    await clock.advance(1000);
    await other.run(KEY, () => 1);
    one.unblock("https://bad.example");
    await clock.advance(2002);
    assert.equal(one.explain(KEY).isDown, false, "it works, says the newest evidence");
    await one.run(KEY, () => 1);
    assert.equal(other.explain("https://bad.example").state, "open");
    await one.run(KEY, () => 1, { judgeValue: () => ({ kind: "overload", retryAfterMs: 30_000 }) });
    await clock.advance(2002);
    assert.equal(other.explain(KEY).state, "advised-to-wait");
    one.close();
    other.close();
  });

  test(`state (${extension}): a damaged file is moved aside with a warning`, async () => {
    const state = fresh(extension);
    writeFileSync(state, "x".repeat(10_000));
    warnings.length = 0;
    const peers = open(new VirtualClock(), state);
    assert.equal(await peers.run(KEY, () => 1), 1);
    peers.close();
    await new Promise(setImmediate);
    assert.equal(warnings.length, 1);
    assert.equal(readFileSync(`${state}.damaged`, "utf8"), "x".repeat(10_000));
    assert.ok(existsSync(state));
    const again = open(new VirtualClock(), state);
    assert.deepEqual(again.keys(), [KEY]);
    again.close();
  });

  test(`state (${extension}): what is 30 days old goes, and the oldest of too many`, async () => {
    const state = fresh(extension);
    const clock = new VirtualClock();
    const first = open(clock, state);
    await first.run("old", () => 1);
    first.close();
    await clock.advance(31 * 24 * 3600 * 1000);
    for (const key of ["a", "b", "c"]) {
      const peers = open(clock, state);
      await peers.run(key, () => 1);
      peers.close();
      await clock.advance(10);
    }
    open(clock, state, { peersMax: 2 }).close();
    const last = open(clock, state);
    assert.deepEqual(last.keys().sort(), ["b", "c"]);
    last.close();
  });

  test(`state (${extension}): of processes that write at once each has heard of what it replaces`, async () => {
    const state = fresh(extension);
    const times = 200;
    const incrementer = join(import.meta.dirname, "testing", "incrementer.ts");
    const run = promisify(execFile);
    await Promise.all([1, 2, 3].map(() => run(process.execPath, ["--conditions=holdfast-source", incrementer, state, String(times)])));
    const store = openState(state);
    assert.deepEqual(store.read().map(({ key, text }) => [key, text]), [["count", String(3 * times)]]);
    store.close();
    assert.deepEqual(readdirSync(directory).filter((file) => /\.(?:lock|tmp)$/.test(file)), []);
  });

  test(`state (${extension}): one damaged row is one peer forgotten`, async () => {
    const state = fresh(extension);
    const clock = new VirtualClock();
    const first = open(clock, state);
    await first.run(KEY, () => 1);
    await first.run("https://other.example", () => 1);
    first.close();
    if (extension === "json") writeFileSync(state, readFileSync(state, "utf8").replace(`"${KEY}":{"v":1`, `"${KEY}":{"v":9`));
    else {
      const database = new DatabaseSync(state);
      database.prepare("UPDATE peers SET text = '{' WHERE key = ?").run(KEY);
      database.close();
    }
    const second = open(clock, state);
    assert.deepEqual(second.keys(), ["https://other.example"]);
    second.close();
  });
}

test("state (json): the lock of a process that was killed is broken after a while", async () => {
  const state = fresh("json");
  const lock = `${state}.lock`;
  writeFileSync(lock, "");
  const store = openState(state);
  assert.equal(store.exchange(() => [{ key: KEY, text: "{}" }]), false);
  utimesSync(lock, new Date(), new Date(Date.now() - 11_000));
  assert.equal(store.exchange(() => [{ key: KEY, text: "{}" }]), true);
  assert.ok(!existsSync(lock));
});

test("state: another version's file is moved aside, and so is another program's database", () => {
  const json = fresh("json");
  writeFileSync(json, JSON.stringify({ holdfast: "peers", version: 99, peers: {} }));
  open(new VirtualClock(), json).close();
  assert.ok(existsSync(`${json}.damaged`));
  const path = fresh("db");
  const database = new DatabaseSync(path);
  database.exec("CREATE TABLE mine (x)");
  database.close();
  open(new VirtualClock(), path).close();
  assert.ok(existsSync(`${path}.damaged`));
});

class CountingStore implements StateStore {
  writes: (readonly StoredRow[])[] = [];
  reads = 0;
  read(): readonly StoredRow[] {
    this.reads++;
    return [];
  }
  exchange(make: (news: readonly StoredRow[]) => readonly StoredRow[]): boolean {
    this.writes.push(make([]));
    return true;
  }
  close(): void {}
}

test("state: written and read at most once a second, and no timer while nothing is to be written (S1, S2)", async () => {
  const store = new CountingStore();
  const clock = new VirtualClock();
  const peers = open(clock, store);
  for (let call = 0; call < 1000; call++) {
    await peers.run(KEY, call % 10 < 6 ? fail : () => 1).catch(() => {});
    await clock.advance(10);
  }
  assert.ok(store.writes.length >= 5 && store.writes.length <= 10, `${store.writes.length} writes`);
  assert.ok(store.reads <= 22, `${store.reads} reads`);
  await clock.advance(10_000);
  assert.equal(clock.timers, 0);
  const { length } = store.writes;
  await clock.advance(100_000);
  assert.equal(store.writes.length, length);
});

test("state: a store that fails costs no call, warns once, and is tried again (S3)", async () => {
  warnings.length = 0;
  let isFull = true;
  const rows: StoredRow[] = [];
  const store: StateStore = {
    read: () => [],
    exchange(make) {
      if (isFull) throw new Error("no space left");
      return rows.push(...make([])) > 0;
    },
    close() {},
  };
  const clock = new VirtualClock();
  const peers = open(clock, store);
  for (let call = 0; call < 5; call++) {
    assert.equal(await peers.run(KEY, () => call), call);
    await clock.advance(1500);
  }
  await new Promise(setImmediate);
  assert.equal(warnings.length, 1);
  isFull = false;
  await clock.advance(1500);
  assert.ok(rows.some(({ key }) => key === KEY));
});

test("state: a peer that was forgotten before it was written is not written", async () => {
  const store = new CountingStore();
  const clock = new VirtualClock();
  const peers = open(clock, store, { peersMax: 16 });
  for (let peer = 0; peer < 100; peer++) {
    await peers.run(`p${peer}`, () => 1);
    await clock.advance(1);
  }
  peers.close();
  const written = new Set(store.writes.flat().map(({ key }) => key));
  assert.ok(written.has("p99") && !written.has("p0"), [...written].join(", "));
});

test("state: rows that mean harm are refused one by one", async () => {
  const clock = new VirtualClock();
  const store = new CountingStore();
  const peers = open(clock, store);
  await peers.run(KEY, fail).catch(() => {});
  peers.close();
  const good = JSON.parse(store.writes.at(-1)?.find(({ key }) => key === KEY)?.text ?? "") as Record<string, unknown>;
  const wrong = [
    { v: 2 }, { failures: -1 }, { failures: 1e300 }, { evidenceMs: "x" }, { isDown: 1 }, { probes: -1 }, { probes: null }, { sites: {} }, { sites: [null] }, { block: 1 },
    { sites: [{ name: "", updatedMs: 1, data: null }] }, { sites: [{ name: "", updatedMs: 1, data: { aggregate: 1 } }] }, { coolUntilMs: -5 },
  ];
  for (const [at, part] of wrong.entries()) {
    const rows = [{ key: KEY, text: JSON.stringify({ ...good, ...part }) }, { key: "good", text: JSON.stringify(good) }];
    const reader = open(clock, { read: () => rows.splice(0), exchange: () => true, close() {} });
    assert.ok(reader.keys().includes("good"), `row ${at}`);
    assert.equal(reader.explain(KEY).failuresInARow, 0, `row ${at}`);
    assert.equal(await reader.run(KEY, () => 1), 1);
    reader.close();
  }
});
