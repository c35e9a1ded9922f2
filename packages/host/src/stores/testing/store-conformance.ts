import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import type { Row, Store } from "../store.ts";

/** One store's home: every `open` gives a store over the same data, as a restarted process would. */
export interface StoreHome {
  open(): Promise<Store>;
  remove(): Promise<void>;
}

/** What every store promises (store.ts). Kill −9 is the business of each store's own tests. */
export function storeConformance(name: string, makeHome: () => Promise<StoreHome>): void {
  const check = (rule: string, body: (home: StoreHome) => Promise<void>) =>
    test(`${name}: ${rule}`, { timeout: 10_000 }, async () => {
      const home = await makeHome();
      const opened: Store[] = [];
      try {
        await body({ ...home, open: async () => opened[opened.push(await home.open()) - 1]! });
      } finally {
        for (const store of opened) await store.close(); // also after a failure: an open store keeps the process alive
        await home.remove();
      }
    });

  check("a new store is empty", async (home) => {
    const store = await home.open();
    assert.deepEqual(await store.claim("ann"), { fence: 1, position: 0 });
    assert.deepEqual(await store.load(), []);
    await store.close();
  });

  check("T1: what was committed is there after a restart, in key order", async (home) => {
    const store = await owned(home);
    await store.commit({ position: 1, puts: [["b", bytes("2")], ["a", bytes("1")], ["ü", bytes("4")], ["c/d", bytes("3")]], deletes: [] });
    await store.commit({ position: 5, puts: [["a", bytes("one")], ["empty", bytes("")]], deletes: ["b", "never there"] });
    const expected = [["a", "one"], ["c/d", "3"], ["empty", ""], ["ü", "4"]];
    assert.deepEqual(texts(await store.load()), expected);
    await store.close();
    const { rows, claim } = await reopened(home);
    assert.deepEqual(texts(rows), expected);
    assert.deepEqual(claim, { fence: 2, position: 5 });
  });

  check("keys keep every well-formed text, in the order of their UTF-8 bytes", async (home) => {
    const store = await owned(home);
    const keys = ["", "\0", "a\0b", "a b", "ab", "\u{ffff}", "\u{10000}"].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
    await store.commit({ position: 1, puts: keys.map((key): Row => [key, bytes(key)]).reverse(), deletes: [] });
    await store.close();
    assert.deepEqual(texts((await reopened(home)).rows), keys.map((key) => [key, key]));
  });

  check("batches are applied in call order, without waiting for one another", async (home) => {
    const store = await owned(home);
    const settled: number[] = [];
    const commits = Array.from({ length: 50 }, (_, index) =>
      store.commit({ position: index + 1, puts: [["last", bytes(String(index))], [`k${index}`, bytes("x")]], deletes: index > 0 ? [`k${index - 1}`] : [] })
        .then(() => void settled.push(index)));
    await Promise.all(commits);
    assert.deepEqual(settled, settled.toSorted((one, other) => one - other));
    assert.deepEqual(texts(await store.load()), [["k49", "x"], ["last", "49"]]);
    await store.close();
  });

  check("a batch without rows moves the position", async (home) => {
    const store = await owned(home);
    await store.commit({ position: 7, puts: [], deletes: [] });
    await store.close();
    assert.equal((await reopened(home)).claim.position, 7);
  });

  check("the store keeps copies: what the caller does to its bytes afterwards changes nothing", async (home) => {
    const store = await owned(home);
    const shared = new Uint8Array(100).fill(1);
    const committing = store.commit({ position: 1, puts: [["view", shared.subarray(10, 20)]], deletes: [] });
    assert.equal(shared.length, 100); // not transferred away
    shared.fill(2);
    await committing;
    const [row] = await store.load();
    assert.deepEqual([...row![1]], new Array(10).fill(1));
    row![1].fill(3);
    assert.deepEqual([...(await store.load())[0]![1]], new Array(10).fill(1));
    await store.close();
  });

  check("large values: whole, shared, replaced and deleted", async (home) => {
    const store = await owned(home);
    const large = randomBytes(5 << 20);
    const [edge, beyond] = [randomBytes(65_536), randomBytes(65_537)];
    const rows: Row[] = [["edge", edge], ["beyond", beyond], ["one", large], ["two", large], ["three", large]];
    await store.commit({ position: 1, puts: rows, deletes: [] });
    await store.commit({ position: 2, puts: [["one", bytes("small now")], ["two", large], ["beyond", beyond]], deletes: ["three"] });
    await store.close();
    const loaded = new Map((await reopened(home, 2)).rows);
    assert.deepEqual([...loaded.keys()], ["beyond", "edge", "one", "two"]);
    assert.ok(Buffer.from(loaded.get("two")!).equals(large));
    assert.ok(Buffer.from(loaded.get("edge")!).equals(edge) && Buffer.from(loaded.get("beyond")!).equals(beyond));
    const last = await owned(home);
    await last.commit({ position: 3, puts: [["two", bytes("gone")]], deletes: ["beyond"] });
    await last.commit({ position: 4, puts: [["again", large]], deletes: [] });
    await last.close();
    assert.ok(Buffer.from((await reopened(home)).rows.find(([key]) => key === "again")![1]).equals(large));
  });

  check("10 000 rows in one batch", async (home) => {
    const store = await owned(home);
    const rows = Array.from({ length: 10_000 }, (_, index): Row => [`row/${String(index).padStart(5, "0")}`, bytes(String(index))]);
    await store.commit({ position: 1, puts: rows, deletes: [] });
    await store.close();
    assert.deepEqual(texts((await reopened(home)).rows), texts(rows));
  });

  check("one owner at a time, and the next one finds everything", async (home) => {
    const store = await owned(home);
    const second = await home.open();
    await assert.rejects(second.claim("ann"), { code: "STORE_BUSY" });
    await store.commit({ position: 1, puts: [["a", bytes("1")]], deletes: [] }); // unharmed by the attempt
    await store.close();
    assert.deepEqual(await second.claim("ann"), { fence: 2, position: 1 });
    await second.close();
  });

  check("another node's store is refused, and left as it was", async (home) => {
    await (await owned(home)).close();
    const stranger = await home.open();
    await assert.rejects(stranger.claim("bob"), { code: "STORE_FOREIGN" });
    await stranger.close();
    assert.equal((await reopened(home)).claim.fence, 2);
  });

  check("after close, commits are refused and closing again is fine", async (home) => {
    const store = await owned(home);
    const last = store.commit({ position: 1, puts: [["a", bytes("1")]], deletes: [] });
    const closing = store.close();
    await last; // queued before the close: still made
    await closing;
    await store.close();
    await assert.rejects(store.commit({ position: 2, puts: [], deletes: [] }), { code: "STORE_FAILED" });
    assert.equal((await reopened(home)).claim.position, 1);
  });

  check("positions ascend", async (home) => {
    const store = await owned(home);
    await store.commit({ position: 2, puts: [], deletes: [] });
    await assert.rejects(store.commit({ position: 2, puts: [], deletes: [] }), /positions ascend/);
    await store.close();
  });
}

async function owned(home: StoreHome): Promise<Store> {
  const store = await home.open();
  await store.claim("ann");
  return store;
}

async function reopened(home: StoreHome, loads = 1) {
  const store = await home.open();
  const claim = await store.claim("ann");
  let rows = await store.load();
  for (let load = 1; load < loads; load++) rows = await store.load();
  await store.close();
  return { claim, rows };
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const texts = (rows: readonly Row[]) => rows.map(([key, value]) => [key, Buffer.from(value).toString()]);
