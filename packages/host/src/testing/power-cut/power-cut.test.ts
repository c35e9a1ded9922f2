/**
 * What a power cut leaves of a node's directory, at any moment of its life: recorded from a real process (recorder.c),
 * with whatever was not synced lost, kept or torn (forgetful-disk.ts), and opened by the real store.
 *
 * HOLDFAST_POWER_CUTS=20000 npm test -- packages/host/src/testing/power-cut/power-cut.test.ts   (HOLDFAST_SEED=S)
 */
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { Random } from "@holdfast/core";
import { openIdentity } from "../../identity/identity.ts";
import { StateDatabase } from "../../stores/state-database.ts";
import type { Row } from "../../stores/store.ts";
import { ForgetfulDisk, type Image, writeImage } from "./forgetful-disk.ts";
import { type Operation, Recorder } from "./recorder.ts";
import { type Acknowledged, ACKNOWLEDGED, batchAt } from "./workload.ts";

/** Of each recording; while what each of so many of them left is recovered, power fails again so often. */
const CUTS = Number(process.env["HOLDFAST_POWER_CUTS"] ?? 200);
const RECOVERIES = Math.ceil(CUTS / 100);
const CUTS_AGAIN = 40;
/** Within so many, each way of forgetting must be found. */
const CUTS_TO_NOTICE = 200;
/** For recordings of some 30 MB each, and what they are recorded from. */
const ROOM_BYTES = 512 * 1024 * 1024;
const SEED = process.env["HOLDFAST_SEED"] ?? String(Math.floor(Math.random() * 0x1_0000_0000));
/** `meets` is what must be among the cuts, or they show nothing. */
const RECORDINGS = [
  { name: "of a new store", lives: [["0", "1", "kill"], ["0", "1", "close"], ["0", "2", "kill"]], meets: ["no log", "no store"] },
  { name: "of a store that starts its log over", lives: [["1", "30", "kill"], ["2", "30", "close"], ["0", "20", "kill"]], meets: ["a commit nobody was told of", "a torn log"] },
] as const;
const NODE = "node";

interface Recording {
  /** What was there before. */
  readonly disk: ForgetfulDisk;
  readonly operations: readonly Operation[];
  /** What was promised before. */
  readonly acknowledged: Required<Acknowledged>;
}
const NOTHING: Required<Acknowledged> = { peer: "", fence: 0, position: 0 };

/** A power cut, and what the store made of it. */
interface Outcome {
  readonly image: Image;
  readonly acknowledged: Required<Acknowledged>;
  readonly position: number;
  readonly violation: string | undefined;
}

const missing = Recorder.missing();
if (missing !== undefined) console.error(missing);

suite("power cut", { skip: missing ?? false }, () => {
  const scratch = realpathSync(mkdtempSync(join(roomyDirectory(), "holdfast-power-cut-")));
  after(() => rmSync(scratch, { recursive: true, force: true }));
  let recorder: Recorder;
  before(() => (recorder = new Recorder(scratch)));

  test("the recorder misses nothing: what it recorded gives the files as they are", () => {
    const root = newRoot();
    const { disk, operations } = record(root, RECORDINGS[1].lives.slice(0, 2));
    for (const operation of operations) disk.apply(operation);
    const there = readdirSync(root, { recursive: true, withFileTypes: true });
    const recorded = disk.current();
    assert.deepEqual([...recorded.keys()].sort(), there.map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1)).sort());
    for (const [path, content] of recorded) if (content !== undefined) assert.ok(readFileSync(join(root, path)).equals(content), path);
  });

  for (const { name, lives, meets } of RECORDINGS) {
    test(`T1, T3: ${name}, what was acknowledged is there, and it is one state, not parts of several`, (t) => {
      const random = Random.fromSeed(SEED);
      const recording = record(newRoot(), lives);
      const met = new Map<string, number>();
      let [made, again] = [0, 0];
      for (const outcome of cuts(recording, CUTS, random)) {
        assert.equal(outcome.violation, undefined, `seed ${SEED}`);
        for (const what of rareIn(outcome)) met.set(what, (met.get(what) ?? 0) + 1);
        if (made++ % Math.ceil(CUTS / RECOVERIES) !== 0) continue;
        const root = newRoot();
        writeImage(outcome.image, root);
        const recovery = { ...record(root, [["0", "10", "kill"]]), acknowledged: outcome.acknowledged };
        for (const { violation } of cuts(recovery, CUTS_AGAIN, random)) {
          assert.equal(violation, undefined, `seed ${SEED}, during recovery`);
          again++;
        }
        rmSync(root, { recursive: true });
      }
      const times = [...met].map(([what, count]) => `${what} ${count}`).join(", ");
      t.diagnostic(`seed ${SEED}: ${made} power cuts among ${recording.operations.length} operations, ${again} during recovery; ${times}`);
      assert.deepEqual(meets.filter((what) => !met.has(what)), []);
    });
  }

  const forgetful = [
    { name: "PRAGMA synchronous = OFF", synchronous: "OFF", forgets: () => false },
    { name: "PRAGMA synchronous = NORMAL", synchronous: "NORMAL", forgets: () => false },
    { name: "a directory that is not synced", synchronous: undefined, forgets: (path: string) => !path.includes(".") },
    { name: "a key that is not synced", synchronous: undefined, forgets: (path: string) => path.includes(".draft-") },
  ];
  for (const { name, synchronous, forgets } of forgetful) {
    test(`the loss is noticed with ${name}`, (t) => {
      const { disk, operations, acknowledged } = record(newRoot(), [["0", "20", "kill"]], synchronous);
      const kept = operations.filter(({ kind, path }) => kind !== "sync" || !forgets(path));
      for (const { violation } of cuts({ disk, operations: kept, acknowledged }, CUTS_TO_NOTICE, Random.fromSeed(SEED))) {
        if (violation !== undefined) return t.diagnostic(violation);
      }
      assert.fail(`not noticed in ${CUTS_TO_NOTICE} power cuts, seed ${SEED}`);
    });
  }

  function newRoot(): string {
    return mkdtempSync(join(scratch, "root-"));
  }

  function record(root: string, lives: readonly (readonly string[])[], synchronous?: string): Recording {
    const disk = new ForgetfulDisk(root);
    const flags = ["--conditions=holdfast-source"];
    if (synchronous !== undefined) flags.push("--import", join(import.meta.dirname, "forgetful-sync.ts"));
    const env = synchronous === undefined ? {} : { HOLDFAST_SYNCHRONOUS: synchronous };
    const program = join(import.meta.dirname, "workload.ts");
    const operations = lives.flatMap((life) => recorder.record(root, [...flags, program, join(root, NODE), ...life], env));
    return { disk, operations, acknowledged: NOTHING };
  }

  /**
   * So many power cuts: half of them at any moment, half just before something other than a write, when most is pending.
   * Uses up the recording's disk.
   */
  function* cuts({ disk, operations, acknowledged }: Recording, count: number, random: Random): Generator<Outcome> {
    const any = [...operations.keys(), operations.length];
    const turns = any.filter((moment) => operations[moment]?.kind !== "write");
    const moments = Array.from({ length: count }, (_, index) => pick(index % 2 === 0 ? any : turns, random)).sort((a, b) => a - b);
    let promised = acknowledged;
    for (const [moment, operation] of [...operations, undefined].entries()) {
      for (; moments[0] === moment; moments.shift()) {
        const image = disk.afterPowerCut(random);
        yield { image, acknowledged: promised, ...open(image, promised) };
      }
      if (operation === undefined) return;
      disk.apply(operation);
      if (operation.kind !== "write" || operation.path !== ACKNOWLEDGED) continue;
      promised = { ...promised, ...(JSON.parse(operation.data.toString()) as Acknowledged) };
    }
  }

  function open(image: Image, acknowledged: Required<Acknowledged>): Pick<Outcome, "position" | "violation"> {
    const root = newRoot();
    let position = 0;
    try {
      writeImage(image, root);
      const { peerId } = openIdentity(join(root, NODE));
      assert.ok(acknowledged.peer === "" || peerId === acknowledged.peer, "the key is another one");
      const database = new StateDatabase(join(root, NODE, "store"), { create: true });
      try {
        const { fence } = database.meta ?? NOTHING;
        ({ position } = database.meta ?? NOTHING);
        assert.ok(fence >= acknowledged.fence, `fence ${fence} < ${acknowledged.fence}`);
        assert.ok(position >= acknowledged.position, `position ${position} < ${acknowledged.position}`);
        assert.equal(digestOf(database.rows()), digestAt(position), `not the state at position ${position}`);
      } finally {
        database.close();
      }
      return { position, violation: undefined };
    } catch (error) {
      return { position, violation: (error as Error).message };
    } finally {
      rmSync(root, { recursive: true });
    }
  }
});

function pick<Item>(items: readonly Item[], random: Random): Item {
  return items[random.below(items.length)]!;
}

/** What a batch of cuts must have met, or it shows nothing. */
function rareIn({ image, acknowledged, position }: Outcome): string[] {
  const database = image.get(`${NODE}/store/state.db`);
  const log = image.get(`${NODE}/store/state.db-wal`);
  return [
    ...(database === undefined ? ["no store"] : []),
    ...(database !== undefined && log === undefined ? ["no log"] : []),
    ...(position > acknowledged.position ? ["a commit nobody was told of"] : []),
    ...(log !== undefined && log.length > 32 && (log.length - 32) % (24 + 4096) !== 0 ? ["a torn log"] : []),
  ];
}

const digests = [digestOf([])];
const state = new Map<string, Uint8Array>();

/** Of the state at a position: every batch up to it, and nothing else. */
function digestAt(position: number): string {
  while (digests.length <= position) {
    const { puts, deletes } = batchAt(digests.length);
    for (const [key, value] of puts) state.set(key, value);
    for (const key of deletes) state.delete(key);
    digests.push(digestOf([...state].sort(([a], [b]) => (a < b ? -1 : 1))));
  }
  return digests[position]!;
}

function digestOf(rows: Iterable<Row>): string {
  return hash("sha256", JSON.stringify(Array.from(rows, ([key, value]) => [key, hash("sha256", value)])));
}

/** In memory if there is room for all of it: a sync costs nothing there, and what a real disk keeps is not asked here. */
function roomyDirectory(): string {
  const memory = "/dev/shm";
  if (!existsSync(memory)) return tmpdir();
  const { bavail, bsize } = statfsSync(memory);
  return bavail * bsize >= ROOM_BYTES ? memory : tmpdir();
}
