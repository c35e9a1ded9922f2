import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { text } from "node:stream/consumers";
import { bundle } from "./bundle.ts";
import { startServer } from "./installed/server.ts";
import { pack } from "./pack.ts";
import { has, install, installFromDebian, isInstalled, root, tools } from "./tools.ts";

/** An empty project with the tarballs of core and fetch installed, as their users have them. */
const project = mkdtempSync(join(tmpdir(), "holdfast-installed-"));
after(() => rmSync(project, { recursive: true, force: true }));
const installed = (name: string): string => join(project, "node_modules", "@holdfast", name);
const tarballs = ["core", "fetch"].map((name) => pack(name, project));
installOffline(tarballs);

interface Target {
  readonly types: string;
  readonly default: string;
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, Target & { readonly browser?: Target }>>;
}

function manifestOf(name: string): Manifest {
  return JSON.parse(readFileSync(join(installed(name), "package.json"), "utf8")) as Manifest;
}

/** What they depend on comes from the workspace: no registry is asked. */
function installOffline(files: readonly string[]): void {
  const { dependencies = {} } = JSON.parse(readFileSync(join(root, "packages/core/package.json"), "utf8")) as Manifest;
  const others = Object.keys(dependencies).map((name) => join(root, "node_modules", name));
  const printed = execFileSync("npm", ["pack", ...others, "--json", "--silent", "--ignore-scripts", "--pack-destination", project], { encoding: "utf8" });
  const packed = (JSON.parse(printed) as { filename: string }[]).map(({ filename }) => join(project, filename));
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
  execFileSync("npm", ["install", "--prefix", project, "--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", ...packed, ...files], { stdio: "inherit" });
}

test("packages: the tarballs hold what they promise, and nothing else", () => {
  for (const name of ["core", "fetch"]) {
    const { exports } = manifestOf(name);
    const files = globSync("**/*", { cwd: installed(name), withFileTypes: true }).filter((entry) => entry.isFile()).map(({ parentPath, name: file }) => join(parentPath, file).slice(installed(name).length + 1));
    for (const file of ["LICENSE", "README.md"]) assert.ok(files.includes(file), `${name} has no ${file}`);
    for (const file of files) {
      assert.match(file, /^(?:LICENSE|README\.md|package\.json|dist\/[\w/-]+\.(?:js|js\.map|d\.ts))$/, name);
      if (file.endsWith(".map")) assert.ok((JSON.parse(readFileSync(join(installed(name), file), "utf8")) as { sourcesContent?: unknown[] }).sourcesContent?.length === 1, `${file} has no source`);
    }
    assert.ok(Object.keys(exports).length >= 3);
    for (const { browser, types, default: code, ...others } of Object.values(exports)) {
      assert.deepEqual(others, {}, "conditions of a checkout are not published");
      for (const target of [types, code, ...Object.values(browser ?? {})]) assert.ok(files.includes(target.replace("./", "")), `${name} has no ${target}`);
    }
  }
});

for (const tarball of tarballs) {
  test(`packages: publint and attw find nothing in ${tarball.slice(project.length + 1)}`, () => {
    assert.ok(install(tools), "the tools cannot be installed");
    const bin = join(tools, "node_modules", ".bin");
    const lint = spawnSync(join(bin, "publint"), ["run", tarball, "--strict"], { encoding: "utf8" });
    assert.equal(lint.status, 0, lint.stdout + lint.stderr);
    assert.match(lint.stdout, /All good!/);
    const types = spawnSync(join(bin, "attw"), [tarball, "--profile", "esm-only", "--format", "json"], { encoding: "utf8" });
    const { analysis, problems } = JSON.parse(types.stdout) as { analysis: { entrypoints: object }; problems?: object };
    assert.equal(types.status, 0, JSON.stringify(problems));
    assert.deepEqual(Object.keys(analysis.entrypoints), Object.keys(manifestOf(tarball.includes("core") ? "core" : "fetch").exports));
  });
}

const ON_SERVERS = `import { openPeers } from "@holdfast/fetch";
import type { Peers, RunOptions } from "@holdfast/fetch";
import { inspectState } from "@holdfast/fetch/inspect";
import { observePeers } from "@holdfast/fetch/prometheus";
import { VirtualClock } from "@holdfast/fetch/testing";
await using peers = openPeers({ state: "./peers.db", clock: new VirtualClock() });
const options: RunOptions<number> = { attempts: 2 };
const one: number = await peers.run("api", async (_signal, attempt) => attempt, options);
const answer: Response = await peers.fetch({ retry: "safe-methods" })("https://api.example.com", { signal: AbortSignal.timeout(one) });
const all: Peers = peers;
export const seen: string[] = [observePeers(all).text(), answer.statusText, ...inspectState("./peers.db").map(({ peer }) => peer)];
peers.undici({ attemptMs: 100 });
// @ts-expect-error: an attempt is a number
peers.run("api", (_signal, attempt: string) => attempt);
`;
const IN_BROWSERS = `import { openPeers } from "@holdfast/fetch";
import { observePeers } from "@holdfast/fetch/prometheus";
import { VirtualClock } from "@holdfast/fetch/testing";
const peers = openPeers({ clock: new VirtualClock() });
peers.addEventListener("down", ({ peer, retryAfterMs }) => document.title = peer + retryAfterMs.toFixed());
const answer: Response = await peers.fetch()(new URL("/v1/items", location.href));
using permit = peers.acquire("api");
export const seen: string[] = [observePeers(peers).text(), permit.peer, answer.statusText];
`;
const NO_UNDICI = `// @ts-expect-error: there is no undici in a browser
peers.undici();
`;
const WITHOUT_NODE = ["--module", "esnext", "--moduleResolution", "bundler", "--types", "", "--lib", "es2022,dom"];

for (const { name, code, flags } of [
  { name: "node16, @types/node", code: ON_SERVERS, flags: ["--module", "node16", "--types", "node", "--lib", "es2022"] },
  { name: "bundler, @types/node", code: ON_SERVERS, flags: ["--module", "esnext", "--moduleResolution", "bundler", "--types", "node", "--lib", "es2022"] },
  { name: "bundler, lib dom", code: IN_BROWSERS, flags: WITHOUT_NODE },
  { name: "bundler, lib dom, browser", code: IN_BROWSERS + NO_UNDICI, flags: [...WITHOUT_NODE, "--customConditions", "browser"] },
]) {
  test(`packages: types (${name})`, () => {
    writeFileSync(join(project, "consumer.ts"), code);
    const strict = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false", "--target", "es2022", "--typeRoots", join(root, "node_modules", "@types")];
    const { status, stdout } = spawnSync(join(root, "node_modules", ".bin", "tsc"), ["consumer.ts", "--ignoreConfig", ...strict, ...flags], { cwd: project, encoding: "utf8" });
    assert.equal(status, 0, stdout);
  });
}

interface Runtime {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Of `tools/runtimes`; the runtime of this test needs none. */
  readonly packageName?: string;
  /** The versions of undici that run in it. Default: both. */
  readonly undicis?: readonly string[];
}

const runtimesFolder = join(tools, "runtimes");
const binaryIn = (packageName: string, file: string) => ({ packageName, command: join(runtimesFolder, "node_modules", packageName, file) });
const { platform, arch } = process;
const RUNTIMES: readonly Runtime[] = [
  { name: `Node.js ${process.versions.node}`, command: process.execPath, args: [] },
  { name: "Node.js 22.13", ...binaryIn(`node-22.13-${platform}-${arch}`, "bin/node"), args: [], undicis: ["undici-7"] },
  { name: "Node.js 22", ...binaryIn(`node-22-${platform}-${arch}`, "bin/node"), args: [] },
  { name: "Node.js 26", ...binaryIn(`node-26-${platform}-${arch}`, "bin/node"), args: [] },
  { name: "Bun", ...binaryIn(`@oven/bun-${platform}-${arch === "arm64" ? "aarch64" : arch}`, "bin/bun"), args: ["run", "--no-install"] },
  { name: "Deno", ...binaryIn(`@deno/${platform}-${arch}-glibc`, "deno"), args: ["run", "--allow-all", "--no-prompt", "--no-remote", "--cached-only"] },
];

/** All of them are to be had for this platform: that one is not is a failure. */
const HAS_ALL = platform === "linux" && arch === "x64";
const wanted = RUNTIMES.flatMap(({ packageName }) => packageName ?? []);

for (const runtime of RUNTIMES) {
  test(`runtimes: run, fetch, state and the rest, as installed, in ${runtime.name}`, (context) => {
    const { packageName, command, args, undicis = ["undici-7", "undici-8"] } = runtime;
    if (packageName !== undefined) {
      // On other platforms some are never there, and npm says quickly that the others are.
      install(runtimesFolder, wanted);
      if (!isInstalled(runtimesFolder, packageName) && !HAS_ALL) return context.skip(`${packageName} cannot be installed on ${platform} ${arch}`);
      assert.ok(isInstalled(runtimesFolder, packageName), `${packageName} cannot be installed`);
    }
    const program = join(project, "smoke.js");
    if (!existsSync(program)) bundle(join(root, "scripts/installed/smoke.ts"), ["--packages=external", "--platform=node", "--target=es2022", `--outfile=${program}`]);
    const folder = join(project, runtime.name.replaceAll(" ", "-"));
    mkdirSync(folder);
    const env = { PATH: process.env["PATH"], HOME: folder, DENO_NO_UPDATE_CHECK: "1", DENO_DIR: folder };
    // By file: Bun has something of its own by that name.
    const files = undicis.map((name) => join(tools, "node_modules", name, "index.js"));
    for (const step of ["learn", "recall"]) {
      const { status, stdout, stderr } = spawnSync(command, [...args, program, step, folder, ...files], { cwd: project, env, encoding: "utf8", timeout: 60_000 });
      assert.equal(`${status} ${stdout}`, "0 ok\n", `${step}: ${stderr}`);
      for (const line of stderr.split("\n")) if (line !== "") assert.match(line, /SQLite is an experimental feature|--trace-warnings/, step);
    }
  });
}

/** Any of them that is there, or was just installed. */
function findChromium(): string | undefined {
  const find = () => ["chromium", "chromium-headless-shell", "google-chrome"].find(has);
  if (find() === undefined) installFromDebian(["chromium-headless-shell"]);
  return find();
}

test("browsers: run, fetch and the rest, bundled, in a page in Chromium", async (context) => {
  const chromium = findChromium();
  if (chromium === undefined && !(HAS_ALL && process.getuid?.() === 0 && has("apt-get"))) return context.skip("there is no Chromium, and it cannot be installed");
  assert.ok(chromium !== undefined, "Chromium cannot be installed");
  // Beside the installed packages, so that they are what is bundled.
  const source = join(project, "page.js");
  bundle(join(root, "scripts/installed/page.ts"), ["--packages=external", "--platform=neutral", `--outfile=${source}`]);
  const script = bundle(source, ["--minify", "--platform=browser"]);

  let report: (request: IncomingMessage) => void;
  const reported = new Promise<IncomingMessage>((resolve) => report = resolve);
  const { server, origin } = await startServer((request, response) => {
    if (request.url === "/report") report(request);
    else if (request.url === "/page.js") response.writeHead(200, { "content-type": "text/javascript" }).end(script);
    else if (request.url === "/") response.writeHead(200, { "content-type": "text/html" }).end('<!doctype html><script type="module" src="/page.js"></script>');
    else response.writeHead(404).end();
  });
  const quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const profile = `--user-data-dir=${join(project, "chromium")}`;
  // It loads our own page only, and its sandbox does without root.
  const browser = spawn(chromium, ["--headless", "--no-sandbox", ...quiet, profile, "--remote-debugging-port=0", `${origin}/`], { detached: true, stdio: ["ignore", "ignore", "pipe"] });
  const complaints = text(browser.stderr);
  // Debian's is a script that starts it: all of the group goes.
  const kill = (): void => {
    if (browser.pid !== undefined && browser.exitCode === null && browser.signalCode === null) process.kill(-browser.pid, "SIGKILL");
  };
  context.signal.addEventListener("abort", kill);
  try {
    const first = await Promise.race([reported, complaints]);
    assert.equal(typeof first === "string" ? first : await text(first), "ok");
  } finally {
    kill();
    await complaints;
    server.closeAllConnections();
    server.close();
  }
});
