import assert from "node:assert/strict";
import { test } from "node:test";
import { Chaos } from "./chaos.ts";
import { SeededChoice } from "./seeded-choice.ts";

const workers = ["w1", "w2", "w3"];
const plan = { at: [0.75, 0.25, 0.5], kill: "workers", stop: "workers", stopMs: 50, killLast: "boss" };

function chaosWith(seed: number, missing: readonly string[] = [], broker = false) {
  const sent: string[] = [];
  const said: string[] = [];
  const victims = {
    pid: () => 1,
    brokerPid: () => 2,
    killBroker: () => sent.push("SIGKILL broker") > 0,
    signal: (node: string, signal: string) => {
      if (missing.includes(node)) return false;
      sent.push(`${signal} ${node}`);
      return true;
    },
  };
  return { sent, said, chaos: new Chaos({ plan: { ...plan, broker }, groups: { workers }, victims, seed, say: (text) => said.push(text) }) };
}

test("chaos: at each threshold one worker is killed, another stopped for its time, and the last one killed", async () => {
  const { chaos, sent, said } = chaosWith(1);
  chaos.handleProgress(0.2);
  assert.equal(sent.length, 0);
  chaos.handleProgress(0.3);
  chaos.handleProgress(0.3);
  const [killed, stopped, last] = sent.map((line) => line.split(" ") as [string, string]);
  assert.deepEqual([killed?.[0], stopped?.[0], last], ["SIGKILL", "SIGSTOP", ["SIGKILL", "boss"]]);
  assert.ok(workers.includes(killed?.[1] as string) && workers.includes(stopped?.[1] as string));
  assert.notEqual(killed?.[1], stopped?.[1]);
  assert.equal(said.length, 3);
  await new Promise((done) => setTimeout(done, 80));
  assert.equal(sent[3], `SIGCONT ${stopped?.[1]}`);
  assert.deepEqual([chaos.done, chaos.ahead], [3, 2]);
});

test("chaos: thresholds passed together all count, and who is stopped is not chosen again", () => {
  const { chaos, sent } = chaosWith(2);
  chaos.handleProgress(1);
  const stopped = sent.filter((line) => line.startsWith("SIGSTOP"));
  assert.equal(new Set(stopped).size, stopped.length);
  assert.equal(sent.filter((line) => line === "SIGKILL boss").length, 3);
  assert.equal(chaos.ahead, 0);
  chaos.finish();
  assert.equal(sent.filter((line) => line.startsWith("SIGCONT")).length, stopped.length);
});

test("chaos: the broker is killed before the last one, where the plan says so", () => {
  const { chaos, sent } = chaosWith(1, [], true);
  chaos.handleProgress(0.3);
  assert.deepEqual(sent.slice(2), ["SIGKILL broker", "SIGKILL boss"]);
  assert.equal(chaos.done, 4);
  chaos.finish();
});

test("chaos: a node without a process is no kill", () => {
  const { chaos } = chaosWith(3, [...workers, "boss"]);
  chaos.handleProgress(1);
  assert.equal(chaos.done, 0);
});

test("chaos: the same seed chooses the same", () => {
  const [one, two] = [chaosWith(9), chaosWith(9)];
  one.chaos.handleProgress(1);
  two.chaos.handleProgress(1);
  assert.deepEqual(one.sent, two.sent);
  one.chaos.finish();
  two.chaos.finish();
  const drawn = Array.from({ length: 3_000 }, ((choice) => () => choice.of(workers))(new SeededChoice(4)));
  for (const worker of workers) assert.ok(Math.abs(drawn.filter((one) => one === worker).length - 1_000) < 120);
  assert.equal(new SeededChoice(1).of([]), undefined);
});
