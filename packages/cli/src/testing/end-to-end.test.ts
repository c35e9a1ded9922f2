/** The command as people use it: processes, signals, exit statuses. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connect, DomainDirectory } from "@holdfast/broker";
import { ControlClient } from "@holdfast/host";
import { ProcessLock } from "@holdfast/host/process-lock";
import { FleetDirectory } from "../fleet/fleet-directory.ts";
import { endAll, fixture, holdfast, Running, TEXT_INDEX } from "./command.ts";
import type { ExplainedPeer } from "@holdfast/host";
import type { NodeRecord } from "../fleet/fleet-directory.ts";

const base = mkdtempSync(join(tmpdir(), "holdfast-e2e-"));
// Brokers of their own for these tests: of their processes, and of the connections that the tests make themselves.
process.env["HOLDFAST_RUNTIME_DIR"] = join(base, "run");
mkdirSync(join(base, "run"), { mode: 0o700 });
after(() => {
  endAll();
  rmSync(base, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});
let directories = 0;
const newData = () => join(base, `data-${directories++}`);

const corpus = join(base, "corpus");
mkdirSync(corpus);
for (let file = 0; file < 300; file++) {
  const words = Array.from({ length: 2_000 }, (_, at) => `word${(at * (file + 7)) % 3_001}`);
  writeFileSync(join(corpus, `${file}.txt`), words.join(" "));
}

/** No process, or a dead one that nobody has asked after yet. */
const isGone = (pid: number) => {
  const { stdout } = spawnSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" });
  return stdout.trim() === "" || stdout.startsWith("Z");
};
const pidsOf = (text: string) => [...text.matchAll(/^\S+ {2}(\d+) {2}12D3/gm)].map(([, pid]) => Number(pid));

test("up: the job completes through its chaos, with proof and export, and leaves nothing behind", { timeout: 120_000 }, async () => {
  const data = newData();
  const exported = join(base, "export.txt");
  const { code, stdout, stderr } = await holdfast("up", TEXT_INDEX, corpus, "--data", data, "--seed", "3", "--export", exported);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /chaos at 25 %: SIGKILL worker-\d \(\d+\)\nchaos at 25 %: SIGSTOP worker-\d \(\d+\) for 2 s\nchaos at 25 %: SIGKILL the broker \(\d+\)\nchaos at 25 %: SIGKILL coordinator/);
  assert.match(stdout, /coordinator is back/);
  assert.match(stdout, /│ documents +│ +300 │/);
  const digest = createHash("sha256").update(readFileSync(exported)).digest("hex");
  assert.match(stdout, new RegExp(`proved: the index's digest equals that of one plain pass \\(${digest}\\)`));
  assert.match(stdout, /proved: every batch was folded in exactly once/);
  assert.equal(statSync(data, { throwIfNoEntry: false }), undefined);
});

test("up: a second one is told who is there; a kept fleet answers; Ctrl-C drains it", { timeout: 120_000 }, async () => {
  const data = newData();
  const up = new Running(["up", TEXT_INDEX, corpus, "--data", data, "--no-chaos", "--keep"]);
  await up.said(/the fleet stays up/);
  const second = await holdfast("up", TEXT_INDEX, corpus, "--data", data);
  assert.deepEqual([second.code, second.stdout], [2, ""]);
  assert.match(second.stderr, new RegExp(`FLEET_BUSY.*pid: ${up.process.pid}`));
  const found = await holdfast("run", "text-index/search", "--input", '{"query":"Word14 nothing"}', "--data", data, "--json");
  assert.equal(found.code, 0, found.stderr);
  const { hits } = JSON.parse(found.stdout) as { hits: { term: string; documents: number }[] };
  assert.deepEqual(hits.map(({ term }) => term), ["word14", "nothing"]);
  assert.ok((hits[0]?.documents ?? 0) > 0 && hits[1]?.documents === 0);
  const status = JSON.parse((await holdfast("status", "--data", data, "--json")).stdout) as { nodes: { state: string }[] };
  assert.deepEqual(status.nodes.map(({ state }) => state), ["up", "up", "up", "up"]);
  assert.equal((await holdfast("peers", "coordinator", "--data", data)).code, 0);
  assert.match((await holdfast("snapshot", "coordinator", "--data", data)).stdout, /text-index\/build/);
  up.process.kill("SIGINT");
  assert.equal((await up.exit).code, 0);
  assert.ok(pidsOf(up.stdout).length === 4 && pidsOf(up.stdout).every(isGone));
  assert.match((await holdfast("snapshot", "coordinator", "--data", data)).stdout, /text-index\/build/);
});

test("up: an interrupted job is taken up again by the same command, and by no other", { timeout: 120_000 }, async () => {
  const data = newData();
  const up = new Running(["up", TEXT_INDEX, corpus, "--data", data, "--no-chaos"]);
  await up.said(/[1-9]\d* \/ \d+ batches/);
  up.process.kill("SIGINT");
  const { code, stdout } = await up.exit;
  assert.equal(code, 0);
  assert.match(stdout, /the same command goes on with the job/);
  assert.equal((await holdfast("up", TEXT_INDEX, base, "--data", data)).code, 2);
  const again = await holdfast("up", TEXT_INDEX, corpus, "--data", data, "--no-chaos");
  assert.equal(again.code, 0, again.stdout + again.stderr);
  assert.match(again.stdout, /going on with the job/);
});

test("up: when the command is killed its nodes drain, and the next one goes on", { timeout: 120_000 }, async () => {
  const data = newData();
  const up = new Running(["up", fixture("greeting"), "--data", data]);
  await up.said(/greeter  \d+/);
  const pids = pidsOf(up.stdout);
  up.process.kill("SIGKILL");
  await up.exit;
  const next = new Running(["up", fixture("greeting"), "--data", data]);
  await next.said(/greeter  \d+/);
  assert.ok(pids.length === 2 && pids.every(isGone));
  next.process.kill("SIGTERM");
  assert.equal((await next.exit).code, 0);
});

test("up: when its broker is killed the nodes go on, and another broker takes them over", { timeout: 60_000 }, async () => {
  const data = newData();
  const up = new Running(["up", fixture("greeting"), "--data", data]);
  await up.said(/greeter  \d+/);
  const pids = pidsOf(up.stdout);
  const { nodes } = new FleetDirectory(data).read();
  const domain = new DomainDirectory((nodes[0] as NodeRecord).service.domain);
  const broker = ProcessLock.holder(domain.lock) as number;
  process.kill(broker, "SIGKILL");
  const [, next] = await up.said(/the broker is back \(process (\d+)\)/);
  assert.notEqual(Number(next), broker);
  const { nodes: after } = JSON.parse((await holdfast("status", "--data", data, "--json")).stdout) as { nodes: { state: string; status: { pid: number } }[] };
  assert.deepEqual(after.map(({ status }) => status.pid), pids);
  process.kill(pids[0] as number, "SIGKILL"); // One that the new broker did not start: it starts it again all the same.
  await up.said(/(\S+) died \([^]*\1 is back/);
  up.process.kill("SIGINT");
  assert.equal((await up.exit).code, 0);
  assert.equal(statSync(domain.path, { throwIfNoEntry: false }), undefined);
});

test("up: nodes that lost both broker and command serve on, and the next command drains them first", { timeout: 60_000 }, async () => {
  const data = newData();
  const up = new Running(["up", fixture("greeting"), "--data", data]);
  await up.said(/greeter  \d+/);
  const pids = pidsOf(up.stdout);
  const domain = new DomainDirectory((new FleetDirectory(data).read().nodes[0] as NodeRecord).service.domain);
  up.process.kill("SIGSTOP"); // It would start another broker.
  process.kill(ProcessLock.holder(domain.lock) as number, "SIGKILL");
  up.process.kill("SIGKILL");
  await up.exit;
  assert.equal((await holdfast("run", "ask", "--input", '{"name":"Ann"}', "--data", data)).code, 0);
  const next = new Running(["up", fixture("greeting"), "--data", data]);
  await next.said(/greeter  \d+/);
  assert.match(next.stdout, /waiting for greeter of an earlier run \(process \d+\) to drain/);
  assert.ok(pids.every(isGone));
  next.process.kill("SIGTERM");
  assert.equal((await next.exit).code, 0);
});

test("up: a client reaches a node by handoff", { timeout: 60_000 }, async () => {
  const data = newData();
  const up = new Running(["up", fixture("greeting"), "--data", data]);
  await up.said(/greeter  \d+/);
  const [asker] = new FleetDirectory(data).read().nodes;
  const { socket, route, pid } = await connect({ ...(asker as NodeRecord).service, broker: "use", routes: ["handoff"] });
  assert.equal(route, "handoff");
  using client = new ControlClient(socket);
  const status = await client.call("status", {});
  assert.deepEqual([status.name, status.pid], ["asker", pid]);
  up.process.kill("SIGINT");
  assert.equal((await up.exit).code, 0);
});

test("up: a node that dies is started again", { timeout: 60_000 }, async () => {
  const up = new Running(["up", fixture("greeting"), "--data", newData()]);
  const [, pid] = await up.said(/greeter  (\d+)/);
  process.kill(Number(pid), "SIGKILL");
  await up.said(/greeter died \(SIGKILL\)[^]*greeter is back/);
  up.process.kill("SIGINT");
  assert.equal((await up.exit).code, 0);
});

test("commands: start, look, signal, cancel", { timeout: 60_000 }, async () => {
  const data = newData();
  const up = new Running(["up", fixture("greeting"), "--data", data]);
  await up.said(/greeter  \d+/);
  const on = ["--data", data];
  assert.deepEqual(JSON.parse((await holdfast("run", "ask", "--input", '{"name":"Ann"}', ...on)).stdout), { text: "Hello Ann" });
  assert.equal((await holdfast("run", "approve", "--id", "a1", "--detach", ...on)).stdout, "a1\n");
  assert.match((await holdfast("executions", "show", "a1", ...on)).stdout, /wait-approval .* never/);
  assert.equal((await holdfast("signal", "a1", "approval", "--value", '"Bob"', ...on)).code, 0);
  assert.deepEqual(JSON.parse((await holdfast("run", "approve", "--id", "a1", ...on)).stdout), { by: "Bob" });
  assert.equal((await holdfast("run", "approve", "--id", "a2", "--detach", ...on)).code, 0);
  assert.equal((await holdfast("executions", "cancel", "a2", ...on)).code, 0);
  const cancelled = await holdfast("run", "approve", "--id", "a2", ...on);
  assert.equal(cancelled.code, 1);
  assert.match(cancelled.stderr, /^holdfast: execution a2 failed: CANCELLED/);
  assert.match((await holdfast("executions", ...on)).stdout, /a1 .* completed/);
  assert.equal((await holdfast("run", "nothing", ...on)).code, 1);
  assert.equal((await holdfast("run", "ask", "--input", "{", ...on)).code, 2);
  up.process.kill("SIGINT");
  assert.equal((await up.exit).code, 0);
});

test("peers: explains a peer, blocks it for a time and by range, and says what is wrong with the words", { timeout: 60_000 }, async () => {
  const data = newData();
  const up = new Running(["up", fixture("greeting"), "--data", data]);
  await up.said(/greeter  \d+/);
  const peers = (...args: string[]) => holdfast("peers", "asker", "--data", data, ...args);
  assert.equal((await holdfast("run", "ask", "--input", '{"name":"Ann"}', "--data", data)).code, 0);
  const well = await peers("--explain", "greeter");
  assert.equal(well.code, 0, well.stderr);
  assert.match(well.stdout, /^greeter  12D3\w+\nis talked to: nothing stands in the way\n\npolicy +allowed, as everybody\nlink +up for [^]*health +0 failures in a row, down at 5/);
  assert.match(well.stdout, /│ greet +│[^]*If nothing else happens:\n[^]*it becomes suspect, if it stays silent/);
  assert.ok(well.stdout.trimEnd().split("\n").length <= 40, "on one screen");

  const blocked = await peers("--block", "greeter", "--for", "10m", "--reason", "a new build is tested");
  assert.match(blocked.stdout, /deny │ greeter │ operator │ .* │ a new build is tested/);
  const denied = await peers("--explain", "greet");
  assert.match(denied.stdout, /\ndenied: policy denies it[^]*denied by an operator \(deny greeter\) at [^]*: a new build is tested\n[^]*in 9 min 5\d s +the policy expires \(deny greeter\)/);
  const { obstacles, policy } = JSON.parse((await peers("--explain", "greeter", "--json")).stdout) as ExplainedPeer;
  assert.deepEqual([obstacles, policy.entry?.reason], [["denied"], "a new build is tested"]);
  const refused = await holdfast("run", "ask", "--input", '{"name":"Ann"}', "--data", data);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /DENIED/);
  assert.match((await peers("--unblock", "greeter")).stdout, /^Everybody is let in who is not denied\. There are no entries\.\n$/);

  assert.match((await peers("--block", "127.0.0.0/8")).stdout, /deny │ 127\.0\.0\.0\/8 │ operator/);
  assert.match((await peers("--explain", "greeter")).stdout, /because of \/ip4\/127\.0\.0\.1\/tcp\/\d+\n/);
  assert.equal((await peers("--unblock", "127.0.0.0/8")).code, 0);
  assert.match((await peers("--allow-only", "greeter", "10.0.0.0/8")).stdout, /^Only those allowed are let in, by the allowlist of the operator\.[^]*allow │ greeter/);
  assert.equal((await peers("--allow-all")).code, 0);
  assert.deepEqual(JSON.parse((await holdfast("run", "ask", "--input", '{"name":"Bob"}', "--data", data)).stdout), { text: "Hello Bob" });

  const bad: readonly (readonly [readonly string[], RegExp])[] = [
    [["--explain", "nobody"], /PEER_UNKNOWN.*peer: nobody, known: greeter/],
    [["--block", "10.0.0.1/8"], /10\.0\.0\.0\/8 is the range around it/],
    [["--block", "nobody"], /PEER_ID_INVALID/],
    [["--block", "greeter", "--for", "soon"], /not a time such as 30s/],
    [["--block", "greeter", "--unblock", "greeter"], /one at a time/],
    [["--reason", "because"], /goes with --block/],
  ];
  for (const [args, message] of bad) {
    const { code, stderr } = await peers(...args);
    assert.equal(code, 2, args.join(" "));
    assert.match(stderr, message);
  }
  up.process.kill("SIGINT");
  assert.equal((await up.exit).code, 0);
});

const bad = [
  { name: "unknown-group", message: /FLEET_INVALID.*file: .*unknown-group\.fleet\.ts, node: ann, flow: spread, operation: choose/ },
  { name: "unbound-port", message: /FLOW_INVALID.*unbound-port\.fleet\.ts, flow: loose/ },
  { name: "cycle", message: /FLOW_INVALID.*cycle\.fleet\.ts, flow: / },
  { name: "same-address", message: /FLEET_INVALID.*same-address\.fleet\.ts.*ann listens there too/ },
  { name: "throws", message: /FLEET_INVALID.*throws\.fleet\.ts.*this file does not load/ },
  { name: "no-fleet", message: /FLEET_INVALID.*defineFleet/ },
  { name: "not-there", message: /FLEET_INVALID.*not-there\.fleet\.ts/ },
];

for (const { name, message } of bad) {
  test(`up: refuses the fleet file ${name}, exit 2, nothing started`, { timeout: 30_000 }, async () => {
    const data = newData();
    const { code, stdout, stderr } = await holdfast("up", fixture(name), "--data", data);
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, message);
    assert.equal(stderr.trimEnd().split("\n").length, 1);
    assert.equal(statSync(data, { throwIfNoEntry: false }), undefined);
  });
}

test("up: a port in use is told with its node, exit 2", { timeout: 30_000 }, async () => {
  const data = newData();
  const up = new Running(["up", fixture("greeting"), "--data", data]);
  const [, port] = await up.said(/asker .*tcp\/(\d+)/);
  up.process.kill("SIGINT");
  await up.exit;
  const server = createServer();
  await new Promise<void>((done) => server.listen(Number(port), "127.0.0.1", done));
  const { code, stderr } = await holdfast("up", fixture("greeting"), "--data", data);
  server.close();
  assert.equal(code, 2);
  assert.match(stderr, new RegExp(`ADDRESS_IN_USE.*node: asker, address: /ip4/127.0.0.1/tcp/${port}`));
});

test("commands: bad usage is told in a line, exit 2", { timeout: 30_000 }, async () => {
  for (const args of [["nonsense"], ["up"], ["status", "--bogus"], ["up", TEXT_INDEX, join(base, "not-there")], ["up", fixture("greeting"), "word"]]) {
    const { code, stderr } = await holdfast(...args);
    assert.equal(code, 2, args.join(" "));
    assert.doesNotMatch(stderr, /\n\s+at /);
  }
  assert.equal((await holdfast("help")).code, 0);
  assert.equal((await holdfast("status", "--data", join(base, "nobody"))).code, 1);
});

test("flow show: the gate before the call is to be seen", { timeout: 30_000 }, async () => {
  const { code, stdout } = await holdfast("flow", "show", "ask", fixture("greeting"));
  assert.equal(code, 0);
  assert.match(stdout, /as written[^]*as it runs[^]*gate +gate:call-greet/);
  assert.match((await holdfast("flow", "show", "ask", fixture("greeting"), "--mermaid")).stdout, /flowchart TD/);
  assert.match((await holdfast("flow", "show", "ask", fixture("greeting"), "--passes")).stdout, /after insert-gates/);
});
