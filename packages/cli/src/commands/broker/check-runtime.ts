import { lstatSync, readdirSync, statfsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { answers, DomainDirectory, isRunning, runtimeRoot } from "@holdfast/broker";
import { readIdentity } from "@holdfast/broker/diagnosis";
import { ProcessLock } from "@holdfast/host/process-lock";
import { finding } from "./finding.ts";
import { allDomains, askBroker, PATIENCE_MS } from "./running-brokers.ts";
import type { Finding, Level } from "./finding.ts";

/** Decision. A backend's output takes 20 MB at most, its other files 10 kB and a handful of inodes. */
const BYTES_MIN = 1_000_000;
const BYTES_ENOUGH = 50_000_000;
const INODES_MIN = 100;
const INODES_ENOUGH = 1_000;
/** As long as a domain's directory can get. */
const LONGEST_DOMAIN = "x".repeat(32);

/** Where brokers, backends and clients meet. */
export function checkRuntimeDirectory(): Finding[] {
  const root = runtimeRoot();
  const say = (level: Level, text: string) => finding(level, "runtime-directory", text);
  const stat = lstatSync(root, { throwIfNoEntry: false });
  const found = stat === undefined ? [say("pass", `${root} does not exist yet: the first broker makes it`)] : [say(...privacyOf(root))];
  return [...found, checkLength(root), ...checkSpace(root)];
}

/** What brokers ask of it before they start, and whether others can look in. */
function privacyOf(path: string): [Level, string] {
  const stat = lstatSync(path);
  const { uid, mode } = stat;
  const us = process.getuid?.();
  const modeText = (mode & 0o777).toString(8).padStart(4, "0");
  if (!stat.isDirectory()) return ["fail", `${path} is ${stat.isSymbolicLink() ? "a link" : "no directory"}: no broker starts`];
  if (us === undefined) return ["pass", `${path}`];
  if (uid !== us) return ["fail", `${path} belongs to user ${uid}, not to ${us}: no broker starts`];
  if ((mode & 0o022) !== 0) return ["fail", `${path} has mode ${modeText}: others can write in it, and no broker starts; chmod 700 if everything in it is yours`];
  if ((mode & 0o077) !== 0) return ["warn", `${path} has mode ${modeText}: others can look in; the next broker makes it 0700`];
  return ["pass", `${path}, mode ${modeText}`];
}

function checkLength(root: string): Finding {
  const fits = (domain: string) => {
    try {
      void new DomainDirectory(domain, root);
      return true;
    } catch {
      return false;
    }
  };
  const bytes = `its path has ${Buffer.byteLength(root)} bytes`;
  if (!fits("shared")) return finding("fail", "path-length", `${bytes}: sockets below it would exceed what the system allows; set HOLDFAST_RUNTIME_DIR to a shorter one`);
  if (!fits(LONGEST_DOMAIN)) return finding("warn", "path-length", `${bytes}: enough for the domain "shared", too many for domains with a long name`);
  return finding("pass", "path-length", bytes);
}

function checkSpace(root: string): Finding[] {
  let there = root;
  while (statSync(there, { throwIfNoEntry: false }) === undefined && dirname(there) !== there) there = dirname(there);
  const { bsize, bavail, files, ffree } = statfsSync(there);
  const bytes = bsize * bavail;
  const inodes = files === 0 ? Infinity : ffree; // Some file systems have as many as they need.
  const level = bytes < BYTES_MIN || inodes < INODES_MIN ? "fail" : bytes < BYTES_ENOUGH || inodes < INODES_ENOUGH ? "warn" : "pass";
  return [finding(level, "space", `${Math.floor(bytes / 1e6)} MB free, inodes: ${inodes === Infinity ? "unlimited" : inodes}`)];
}

/** Each domain that has a directory. One that no broker is in is as good as one that has one. */
export async function checkDomains(domain: string | undefined): Promise<Finding[]> {
  const root = runtimeRoot();
  if (lstatSync(root, { throwIfNoEntry: false }) !== undefined && privacyOf(root)[0] === "fail") return []; // Nobody believes what is in it.
  let directories: readonly DomainDirectory[];
  try {
    directories = domain === undefined ? allDomains() : [new DomainDirectory(domain)].filter(({ path }) => statSync(path, { throwIfNoEntry: false }) !== undefined);
  } catch {
    return []; // Why they cannot be listed has been said of the runtime directory.
  }
  if (directories.length === 0) return [finding("pass", "domain", "no broker has run here yet", domain ?? null)];
  return (await Promise.all(directories.map(checkDomain))).flat();
}

async function checkDomain(directory: DomainDirectory): Promise<Finding[]> {
  const { domain, path } = directory;
  const [level, text] = privacyOf(path);
  if (level === "fail") return [finding(level, "domain", text, domain)];
  const broker = await checkBroker(directory);
  const rest = [...checkIdentities(directory, broker.isThere), ...(await checkSockets(directory, broker.isThere))];
  return [broker.finding, ...(level === "pass" ? [] : [finding(level, "domain", text, domain)]), ...rest];
}

async function checkBroker(directory: DomainDirectory): Promise<{ readonly finding: Finding; readonly isThere: boolean }> {
  const { domain, door } = directory;
  const say = (level: Level, text: string, isThere = false) => ({ finding: finding(level, "broker", text, domain), isThere });
  const reply = await askBroker<{ ready: boolean; reason: string | null }>(directory, "readyz");
  const pid = ProcessLock.holder(directory.lock) ?? "unknown";
  if (reply?.state === "up") return reply.answer.ready ? say("pass", `process ${pid} answers`, true) : say("warn", `process ${pid} refuses new clients: ${reply.answer.reason}`, true);
  if (reply?.state === "silent") {
    return say("fail", `process ${pid} holds the lock and does not answer within ${PATIENCE_MS / 1000} s: no other broker can start; continue it (kill -CONT) or end it (kill)`, true);
  }
  if (statSync(door, { throwIfNoEntry: false }) === undefined) return say("pass", "none runs; the next client starts one");
  if (await answers(door)) return say("fail", `somebody listens at ${door} who does not hold the broker's lock`);
  return say("warn", `none runs, and a dead one left ${door}; the next one replaces it`);
}

function checkIdentities({ domain, backends }: DomainDirectory, isThere: boolean): Finding[] {
  return namesIn(backends).filter((name) => name.endsWith(".json")).flatMap((name) => {
    const identity = readIdentity(join(backends, name));
    if (identity === undefined) return [finding("warn", "backend", `${join(backends, name)} is no identity of a backend`, domain)];
    const which = `${identity.service} ${identity.version}`;
    if (!isRunning(identity)) return [finding("warn", "backend", `${which}: its process ${identity.pid} is dead, its file ${name} is not removed; the next broker does that`, domain)];
    if (isThere) return [finding("pass", "backend", `${which}: process ${identity.pid} runs`, domain)];
    return [finding("warn", "backend", `${which}: process ${identity.pid} runs without a broker: clients reach it, and the next broker takes it over`, domain)];
  });
}

/** Connecting tells whether somebody listens; backends and brokers think nothing of a connection that ends without a word. */
async function checkSockets({ domain, path, backends, door }: DomainDirectory, isThere: boolean): Promise<Finding[]> {
  const paths = [path, backends].flatMap((folder) => namesIn(folder).map((name) => join(folder, name)))
    .filter((file) => file !== door && statSync(file, { throwIfNoEntry: false })?.isSocket() === true);
  const stale = await Promise.all(paths.map(async (file) => ((await answers(file)) ? [] : [file])));
  const hint = isThere ? "removed when a backend of this key starts" : "the next start of that backend replaces it";
  return stale.flat().map((file) => finding("warn", "socket", `${file}: nobody listens any more; ${hint}`, domain));
}

function namesIn(path: string): string[] {
  return statSync(path, { throwIfNoEntry: false }) === undefined ? [] : readdirSync(path).sort();
}
