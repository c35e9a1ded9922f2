import { statSync } from "node:fs";
import { isAbsolute } from "node:path";
import { loadPeerCredentials, rawChannelAvailable, readDescriptors } from "@holdfast/broker/diagnosis";
import { finding } from "./finding.ts";
import type { Finding } from "./finding.ts";

/** Decision: a broker and each backend need one descriptor for each connection. Below the first, a handful of clients is too many. */
const DESCRIPTORS_MIN = 64;
const DESCRIPTORS_ENOUGH = 1024;

/** The process's own surroundings: variables, Node, what the platform offers. A broker that this user's clients start has the same. */
export function checkMachine(): Finding[] {
  return [finding("pass", "node", process.version), ...checkEnvironment(), checkRoot(), checkDescriptors(), checkCredentials(), checkChannel()];
}

function checkEnvironment(): Finding[] {
  const { HOLDFAST_BROKER: policy, HOLDFAST_RUNTIME_DIR: root, HOLDFAST_SERVICES: services, HOLDFAST_ALLOW_ROOT: allowRoot, XDG_RUNTIME_DIR: runtime } = process.env;
  const found: Finding[] = [];
  const say = (level: Finding["level"], text: string) => found.push(finding(level, "environment", text));
  if (policy === "off") say("warn", "HOLDFAST_BROKER=off: clients from here reach backends that run, and start none");
  else if (policy !== undefined && policy !== "" && policy !== "on") say("fail", `HOLDFAST_BROKER=${policy}: it is "off", "on" or not set; clients from here refuse to connect`);
  if (isRelative(root)) say("fail", `HOLDFAST_RUNTIME_DIR=${root} is a relative path: every process would look in another place`);
  if (isRelative(services)) say("fail", `HOLDFAST_SERVICES=${services} is a relative path: every process would look in another place`);
  if (allowRoot !== undefined && allowRoot !== "1") say("warn", `HOLDFAST_ALLOW_ROOT=${allowRoot} means nothing: only 1 does`);
  const ours = `/run/user/${process.getuid?.() ?? ""}`;
  if ((root ?? "") === "" && (runtime ?? "") === "" && statSync(ours, { throwIfNoEntry: false }) !== undefined) {
    say("warn", `XDG_RUNTIME_DIR is not set though ${ours} exists: processes that have it set look for brokers there, and do not meet those from here`);
  }
  return found.length > 0 ? found : [finding("pass", "environment", "HOLDFAST_… variables are valid or not set")];
}

function isRelative(path: string | undefined): boolean {
  return path !== undefined && path !== "" && !isAbsolute(path);
}

function checkRoot(): Finding {
  if (process.getuid?.() !== 0) return finding("pass", "user", "not root");
  if (process.env["HOLDFAST_ALLOW_ROOT"] === "1") return finding("warn", "user", "root, and HOLDFAST_ALLOW_ROOT=1: every backend runs as root");
  return finding("fail", "user", "root: brokers refuse to run, unless HOLDFAST_ALLOW_ROOT=1");
}

function checkDescriptors(): Finding {
  const limit = readDescriptors()?.limit;
  if (limit === undefined) return finding("pass", "descriptors", "this platform does not tell the limit");
  const level = limit < DESCRIPTORS_MIN ? "fail" : limit < DESCRIPTORS_ENOUGH ? "warn" : "pass";
  return finding(level, "descriptors", `at most ${limit} open at once${level === "pass" ? "" : "; each connection takes one: raise it with ulimit -n"}`);
}

function checkCredentials(): Finding {
  if (loadPeerCredentials() !== undefined) return finding("pass", "credentials", "the kernel tells whose a connection is (koffi)");
  const why = process.platform === "linux" ? "koffi is not installed" : "not on this platform";
  return finding("pass", "credentials", `${why}: other users are kept out by the directory's mode alone, which is enough`);
}

function checkChannel(): Finding {
  if (rawChannelAvailable()) return finding("pass", "channel", "raw: connections are handed over many at a time");
  return finding(process.platform === "linux" ? "warn" : "pass", "channel", "public only: connections are handed over one at a time");
}
