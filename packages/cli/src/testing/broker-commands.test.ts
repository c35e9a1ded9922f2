/** `holdfast broker` as people and service managers use it: processes, signals, exit statuses. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, beforeEach, test } from "node:test";
import { connect, DomainDirectory, isRunning, readIdentities } from "@holdfast/broker";
import { ProcessLock } from "@holdfast/host/process-lock";
import { endAll, holdfast, REPOSITORY, Running } from "./command.ts";
import type { BrokerStatus } from "@holdfast/broker";

const base = mkdtempSync(join(tmpdir(), "hf-commands-"));
const DOMAINS = ["shared", "grp-others", "svc-loner"];
const roots: string[] = [];
let root = "";
let services = "";

/** What a test left is ended by its own pids. */
function endBrokers(): void {
  for (const path of roots) {
    for (const directory of DOMAINS.map((domain) => new DomainDirectory(domain, path))) {
      const holder = ProcessLock.isHeld(directory.lock) ? [ProcessLock.holder(directory.lock) as number] : [];
      for (const pid of [...holder, ...readIdentities(directory).filter(isRunning).map((identity) => identity.pid)]) process.kill(pid, "SIGKILL");
    }
  }
}

beforeEach(() => {
  root = join(base, `r${roots.length}`);
  services = join(base, `s${roots.length}`);
  roots.push(root);
  mkdirSync(services, { mode: 0o700 });
  Object.assign(process.env, { HOLDFAST_RUNTIME_DIR: root, HOLDFAST_SERVICES: services, XDG_CONFIG_HOME: join(base, "config"), HOLDFAST_ALLOW_ROOT: "1" });
  for (const name of ["HOLDFAST_BROKER", "XDG_RUNTIME_DIR"]) delete process.env[name];
});
after(() => {
  endAll();
  endBrokers();
  rmSync(base, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

const broker = (...args: string[]) => holdfast("broker", ...args);
const json = async <T>(...args: string[]) => JSON.parse((await broker(...args, "--json")).stdout) as T;

function define(service: string, more: object = {}): void {
  const folder = join(REPOSITORY, "packages/cli/src/testing/services");
  const nodeOptions = ["--conditions=holdfast-source", "--disable-warning=ExperimentalWarning"];
  writeFileSync(join(services, `${service}.json`), JSON.stringify({ service, root: folder, entry: join(folder, "greeter.ts"), nodeOptions, ...more }), { mode: 0o600 });
}

async function greet(version: string): Promise<string> {
  const { socket } = await connect({ service: "greeter", version });
  socket.write("you");
  return await text(socket);
}

interface Findings {
  readonly ok: boolean;
  readonly findings: readonly { readonly level: string; readonly check: string; readonly about: string | null; readonly text: string }[];
}

/** What the doctor finds wrong, as `LEVEL check about`. */
async function faults(...args: string[]): Promise<{ readonly ok: boolean; readonly faults: readonly string[]; readonly code: number | null }> {
  const { stdout, code, stderr } = await broker("doctor", "--json", ...args);
  assert.equal(stderr, "");
  const { ok, findings } = JSON.parse(stdout) as Findings;
  assert.equal(code, ok ? 0 : 1);
  // That tests run as root somewhere is no fault of theirs.
  return { ok, code, faults: findings.filter(({ level, check }) => level !== "pass" && check !== "user").map(({ level, check, about }) => [level, check, about ?? []].flat().join(" ")) };
}

const NOBODY = [
  { args: ["status"], code: 1, stdout: /^no broker runs \(.*\); the first client that needs one starts it\n$/ },
  { args: ["status", "--json"], code: 1, stdout: /^\{\s+"brokers": \[\]\s+\}\n$/ },
  { args: ["healthz"], code: 1, stdout: /^no broker runs/ },
  { args: ["readyz", "--domain", "grp-others"], code: 1, stdout: /^no broker of grp-others runs/ },
  { args: ["metrics"], code: 1, stderr: /^holdfast: BROKER_UNREACHABLE: .*none runs.*\n$/ },
  { args: ["services"], code: 0, stdout: /│ greeter │ shared │ ≥ 1\.0\.0, <3\.0\.0 │ - +│ - / },
  { args: ["quiesce"], code: 1, stderr: /^holdfast: BROKER_UNREACHABLE: .*none runs.*\n$/ },
  { args: ["quiesce", "greeter"], code: 1, stderr: /^holdfast: BROKER_UNREACHABLE: .*domain: shared.*none runs.*\n$/ },
  { args: ["shutdown"], code: 1, stderr: /^holdfast: BROKER_UNREACHABLE: .*none runs.*\n$/ },
  { args: ["upgrade", "nobody", "1.0.0"], code: 1, stderr: /^holdfast: NOT_FOUND: .*service: nobody.*\n$/ },
  { args: ["doctor"], code: 0, stdout: /^PASS {2}node: .*\n[^]*PASS {2}service greeter: domain shared[^]*failed: 0\n$/ },
  { args: [], code: 2, stderr: /^Usage: holdfast broker/ },
  { args: ["statu"], code: 2, stderr: /^error: unknown command 'statu'/ },
  { args: ["status", "more"], code: 2, stderr: /^error: too many arguments.*\n$/ },
  { args: ["status", "--domain", "../x"], code: 2, stderr: /^error: option '--domain <name>' argument '..\/x' is invalid.*\n$/ },
  { args: ["upgrade", "greeter"], code: 2, stderr: /^error: missing required argument 'version'\n$/ },
  { args: ["run", "--idle-ms", "0"], code: 2, stderr: /^error: option '--idle-ms <number>' argument '0' is invalid.*\n$/ },
  { args: ["run", "--channel", "radio"], code: 2, stderr: /^error: option '--channel <kind>' argument 'radio' is invalid.*\n$/ },
] as const;

test("broker: with no broker, and with wrong arguments, every command says so and starts none", async () => {
  define("greeter", { minimumVersion: "1.0.0", allowedVersions: ["<3.0.0"] });
  for (const half of [NOBODY.slice(0, 9), NOBODY.slice(9)]) {
    await Promise.all(half.map(async ({ args, code, ...said }) => {
      const ended = await broker(...args);
      assert.equal(ended.code, code, `${args.join(" ")}: ${ended.stdout}${ended.stderr}`);
      assert.match(ended.stdout, "stdout" in said ? said.stdout : /^$/, args.join(" "));
      assert.match(ended.stderr, "stderr" in said ? said.stderr : /^$/, args.join(" "));
    }));
  }
  assert.equal(statSync(root, { throwIfNoEntry: false }), undefined, "none of them made anything");
});

test("broker: root's is refused unless that is allowed, and a definition's fault is told", { skip: process.getuid?.() !== 0 }, async () => {
  process.env["HOLDFAST_ALLOW_ROOT"] = "0";
  define("greeter", { entry: "/nowhere" });
  const ended = await Promise.all([broker("start"), broker("run"), broker("upgrade", "greeter", "1.0.0")]);
  assert.deepEqual(ended.map(({ code }) => code), [2, 2, 2]);
  for (const { stderr } of ended.slice(0, 2)) assert.match(stderr, /^holdfast: BROKER_REFUSED: .*root.*\n$/);
  assert.match(ended[2]?.stderr ?? "", /^holdfast: SERVICE_INVALID: .*at: entry.*\n$/);
});

test("broker: it is started, upgraded, quiesced and ended, and tells about itself meanwhile", async () => {
  define("greeter", { minimumVersion: "1.0.0" });
  const started = await json<{ domain: string; pid: number; started: boolean }>("start");
  assert.deepEqual(started, { domain: "shared", pid: started.pid, started: true });
  assert.match((await broker("start")).stdout, new RegExp(`^process ${started.pid} is the broker of shared, and was so before\n$`));

  const first = await json<{ domain: string; from: string[]; to: string; pid: number }>("upgrade", "greeter", "1.0.0");
  assert.deepEqual(first, { domain: "shared", service: "greeter", from: [], to: "1.0.0", pid: first.pid });
  assert.equal(await greet("1.0.0"), "hello you from 1.0.0");
  assert.match((await broker("upgrade", "greeter", "1.2.0")).stdout, /^greeter 1\.2\.0 serves in process \d+; 1\.0\.0 has finished\n$/);
  assert.equal(await greet("1.0.0"), "hello you from 1.2.0");

  const [refused, status, table, health, ready, page, list, look] = await Promise.all([
    broker("upgrade", "greeter", "0.9.0"), json<{ brokers: { domain: string; state: string; pid: number; status: BrokerStatus }[] }>("status"), broker("status"),
    broker("healthz"), json<{ ok: boolean }>("readyz"), broker("metrics"), json<{ services: { running: { version: string }[] }[] }>("services"), faults(),
  ]);
  assert.deepEqual([refused.code, refused.stderr], [1, "holdfast: version-unsupported: greeter 0.9.0 is older than 1.0.0\n"]);
  assert.deepEqual(status.brokers.map(({ domain, state, pid }) => ({ domain, state, pid })), [{ domain: "shared", state: "up", pid: started.pid }]);
  assert.deepEqual(status.brokers[0]?.status.backends.map(({ version, state, adopted }) => ({ version, state, adopted })), [{ version: "1.2.0", state: "running", adopted: false }]);
  assert.match(table.stdout, new RegExp(`^shared: process ${started.pid}, up .*\n[^]*│ greeter │ 1\\.2\\.0 `));
  assert.deepEqual([health.code, health.stdout, ready.ok], [0, "shared: ok\n", true]);
  assert.match(page.stdout, /^# TYPE holdfast_broker_connections counter\n[^]*\n# EOF\n$/);
  assert.deepEqual(list.services[0]?.running.map(({ version }) => version), ["1.2.0"]);
  assert.deepEqual(look.faults, []);

  assert.equal((await broker("quiesce", "greeter")).stdout, "finished: greeter@1.2.0\n");
  assert.deepEqual(await json("quiesce"), { domain: "shared", drained: [] });
  assert.equal((await broker("shutdown")).stdout, "the broker of shared has ended\n");
  assert.equal((await broker("healthz")).code, 1);
});

test("broker: of several, a command that changes something wants to know which", async () => {
  define("loner", { isolation: "private" });
  await Promise.all([broker("start"), broker("start", "--domain", "grp-others")]);
  const [ended, page, health, other, own] = await Promise.all([
    broker("shutdown"), broker("metrics"), broker("healthz"), broker("healthz", "--domain", "grp-others"), broker("quiesce", "loner"),
  ]);
  assert.deepEqual([ended.code, ended.stdout], [2, ""]);
  assert.match(ended.stderr, /^holdfast: OPTION_INVALID: .*several brokers run: grp-others, shared\)\n$/);
  assert.match(page.stdout, /^# domain grp-others\n[^]*# EOF\n# domain shared\n[^]*# EOF\n$/);
  assert.equal(health.stdout, "grp-others: ok; shared: ok\n");
  assert.equal(other.stdout, "grp-others: ok\n");
  assert.match(own.stderr, /domain: svc-loner.*none runs/);
  assert.equal((await broker("shutdown", "--domain", "grp-others")).code, 0);
  assert.equal((await broker("shutdown")).stdout, "the broker of shared has ended\n");
});

test("broker: in the foreground it keeps its process, and what a killed one left is seen, and taken over", async () => {
  define("greeter");
  const run = new Running(["broker", "run"]);
  await run.said(/is the broker of shared/);
  const pid = run.process.pid as number;
  const { brokers: [up] } = await json<{ brokers: { pid: number }[] }>("status");
  assert.equal(up?.pid, pid);
  const second = await broker("run");
  assert.deepEqual([second.code, second.stderr], [1, `holdfast: shared has a broker already: process ${pid}\n`]);
  assert.equal((await broker("upgrade", "greeter", "1.0.0")).code, 0);

  run.process.kill("SIGSTOP");
  const [silent, health, look, quiesced] = await Promise.all([json<{ brokers: unknown[] }>("status"), broker("healthz"), faults(), broker("quiesce")]);
  assert.deepEqual(silent.brokers, [{ domain: "shared", state: "silent", pid, status: null }]);
  assert.deepEqual([health.code, health.stdout], [1, `shared: process ${pid} does not answer\n`]);
  assert.deepEqual([look.ok, look.faults], [false, ["fail broker shared"]]);
  assert.match(quiesced.stderr, /^holdfast: BROKER_UNREACHABLE: .*it does not answer within 2000 ms\)\n$/);

  run.process.kill("SIGKILL");
  await run.exit;
  assert.deepEqual((await faults()).faults, ["warn broker shared", "warn backend shared"]);
  const left = await json<{ services: { running: { version: string }[] }[] }>("services");
  assert.deepEqual(left.services[0]?.running.map(({ version }) => version), ["1.0.0"]);

  const next = new Running(["broker", "run"]);
  await next.said(/is the broker of shared/);
  assert.match((await broker("status")).stdout, /│ greeter │ 1\.0\.0 .* running │ yes /);
  assert.equal((await broker("shutdown", "--leave-backends")).code, 0);
  assert.equal((await next.exit).code, 0);
  assert.deepEqual((await faults()).faults, ["warn backend shared"], "it left no door behind");
  assert.equal(await greet("1.0.0"), "hello you from 1.0.0");

  const last = new Running(["broker", "run"]);
  await last.said(/is the broker of shared/);
  assert.equal((await broker("quiesce")).stdout, "finished: greeter@1.0.0\n");
  last.process.kill("SIGTERM");
  assert.equal((await last.exit).code, 0);
});

test("doctor: what others can write in fails, and so does what would refuse every client", async () => {
  define("greeter");
  mkdirSync(root, { mode: 0o700 });
  assert.deepEqual(await faults(), { ok: true, code: 0, faults: [] });
  chmodSync(root, 0o777);
  define("bad", { entry: 1 });
  define("gone", { entry: join(REPOSITORY, "packages/cli/src/testing/services/gone.ts") });
  define("later", { entry: join(REPOSITORY, "packages/cli/src/testing/services/{version}/greeter.ts") });
  assert.deepEqual(await faults(), { ok: false, code: 1, faults: ["fail runtime-directory", "fail service bad", "fail service gone", "fail service later"] });
  chmodSync(root, 0o755);
  chmodSync(services, 0o777);
  assert.deepEqual((await faults()).faults, ["warn runtime-directory", "fail services-directory"]);
});

test("doctor: variables that mean nothing, a path too long, a unit that kills the backends", async () => {
  const unit = join(base, "config", "systemd", "user");
  mkdirSync(unit, { recursive: true });
  writeFileSync(join(unit, "holdfast-broker.service"), "[Service]\nExecStart=holdfast broker run\n");
  process.env["HOLDFAST_BROKER"] = "maybe";
  process.env["HOLDFAST_RUNTIME_DIR"] = `/tmp/${"x".repeat(90)}`;
  assert.deepEqual((await faults()).faults, ["fail environment", "warn systemd", "fail path-length"]);
  writeFileSync(join(unit, "holdfast-broker.service"), readFileSync(join(REPOSITORY, "contrib/systemd/holdfast-broker.service")));
  process.env["HOLDFAST_BROKER"] = "off";
  process.env["HOLDFAST_RUNTIME_DIR"] = "relative";
  assert.deepEqual((await faults()).faults, ["warn environment", "fail environment"]);
  rmSync(unit, { recursive: true });
});

test("doctor: a socket that nobody listens at, a file of a dead backend, a door of somebody else's", async () => {
  const directory = new DomainDirectory("shared");
  directory.create();
  ProcessLock.tryTake(directory.lock)?.release();
  // The door of a broker that was killed stands for the endpoint of a backend of a past boot.
  const key = { service: "greeter", version: "1.0.0", build: "b" };
  const listener = new Running(["broker", "run"]);
  await listener.said(/is the broker of shared/);
  listener.process.kill("SIGKILL");
  await listener.exit;
  renameSync(directory.door, directory.endpoint(key));
  writeFileSync(directory.identity(key), JSON.stringify({ format: 1, ...key, pid: process.pid, startTime: "1", bootId: "past", secret: "0".repeat(64) }));
  assert.deepEqual((await faults()).faults, ["warn backend shared", "warn socket shared"]);
  const stranger = createServer((socket) => socket.resume()).listen(directory.door);
  assert.deepEqual((await faults("--domain", "shared")).faults, ["fail broker shared", "warn backend shared", "warn socket shared"]);
  await new Promise((done) => stranger.close(done));
});

test("contrib: the property list is well-formed, and leaves the backends alone", () => {
  const plist = readFileSync(join(REPOSITORY, "contrib/launchd/dev.holdfast.broker.plist"), "utf8");
  const open: string[] = [];
  for (const [, slash, name, empty] of plist.replaceAll(/<!--[^]*?-->|<[?!][^>]*>/g, "").matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
    if (slash === "/") assert.equal(open.pop(), name);
    else if (empty === "") open.push(name as string);
  }
  assert.deepEqual(open, []);
  assert.match(plist, /<key>AbandonProcessGroup<\/key>\s*<true\/>/);
});
