import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, truncateSync, utimesSync, writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { RefusedError } from "../protocol/refusal.ts";
import { ServiceCatalogue, servicesDirectory } from "./service-catalogue.ts";

let directory: string;
let catalogue: ServiceCatalogue;
let time = 1_000_000;

const file = (name: string) => join(directory, name);

/** Every write has a time of its own, however coarse the file system's clock. */
function write(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
  utimesSync(path, ++time, time);
}
function define(service: string, given: object = {}): void {
  write(file(`${service}.json`), JSON.stringify({ service, root: "/srv", entry: "/srv/main.js", ...given }));
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "holdfast-services-"));
  catalogue = new ServiceCatalogue(directory);
  define("index");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const invalid = (reason: RegExp) => (error: { code?: string; details?: Record<string, unknown> }): true => {
  assert.equal(error.code, "SERVICE_INVALID");
  assert.match(String(error.details?.["reason"]), reason);
  return true;
};

test("catalogue: it finds what a file defines, and nothing else", () => {
  assert.equal(catalogue.find("index")?.entry, "/srv/main.js");
  for (const service of ["other", "", "in dex", "../index", "index.json", "x/../index", "index\0"]) assert.equal(catalogue.find(service), undefined, service);
});

test("catalogue: a name that is no service's is looked up nowhere", () => {
  mkdirSync(file("sub"));
  catalogue.setCurrentVersion("index", "1.0.0");
  const inner = new ServiceCatalogue(file("sub"));
  for (const service of ["../index", "x/../../index"]) {
    assert.equal(inner.find(service), undefined);
    assert.equal(inner.currentVersion(service), null);
    assert.throws(() => inner.setCurrentVersion(service, "1.0.0"), { code: "NOT_FOUND" });
  }
});

test("catalogue: a directory that is missing is empty until it is made", () => {
  const later = new ServiceCatalogue(file("later"));
  assert.equal(later.find("index"), undefined);
  assert.equal(later.currentVersion("index"), null);
  assert.deepEqual(later.list(), []);
  mkdirSync(file("later"));
  renameSync(file("index.json"), join(file("later"), "index.json"));
  assert.equal(later.find("index")?.service, "index");
});

test("catalogue: S1, what has changed is read again, what has not is not", () => {
  const first = catalogue.find("index");
  assert.equal(catalogue.find("index"), first, "the very same");
  define("index", { handoff: true });
  assert.equal(catalogue.find("index")?.handoff, true);
  write(file("index.json"), "{");
  assert.throws(() => catalogue.find("index"), invalid(/JSON/));
  rmSync(file("index.json"));
  assert.equal(catalogue.find("index"), undefined);
});

test("catalogue: S1, a file of the same time and size is another if it was put in the place of the first", () => {
  define("index", { handoff: null, labels: { a: "1" } });
  assert.equal(catalogue.find("index")?.labels["a"], "1");
  const { atime, mtime } = statSync(file("index.json"));
  writeFileSync(file("draft"), readFileSync(file("index.json"), "utf8").replace("\"1\"", "\"2\""), { mode: 0o600 });
  utimesSync(file("draft"), atime, mtime);
  renameSync(file("draft"), file("index.json"));
  assert.equal(catalogue.find("index")?.labels["a"], "2");
});

test("catalogue: a bad file is parsed once for each state, like a good one", () => {
  write(file("index.json"), "{");
  const refusals = [1, 2].map(() => {
    try {
      return catalogue.find("index");
    } catch (error) {
      return error;
    }
  });
  assert.ok(refusals[0] instanceof Error);
  assert.equal(refusals[0], refusals[1]);
});

test("catalogue: S2, what others can write is not believed, though it is remembered", () => {
  catalogue.setCurrentVersion("index", "1.0.0");
  assert.equal(catalogue.currentVersion("index"), "1.0.0");
  catalogue.find("index");
  for (const [name, ask] of [["index.json", () => catalogue.find("index")], ["index.version", () => catalogue.currentVersion("index")]] as const) {
    for (const mode of [0o620, 0o602]) {
      chmodSync(file(name), mode);
      assert.throws(ask, invalid(/written by others/), `${name} ${mode.toString(8)}`);
    }
    chmodSync(file(name), 0o644);
    ask();
  }
  chmodSync(directory, 0o770);
  assert.throws(() => catalogue.find("index"), invalid(/written by others/));
  assert.throws(() => catalogue.currentVersion("index"), invalid(/written by others/));
  assert.throws(() => catalogue.setCurrentVersion("index", "1.0.0"), invalid(/written by others/));
  assert.throws(() => catalogue.list(), invalid(/written by others/));
});

test("catalogue: S2, what somebody else owns is not believed", { skip: process.getuid?.() !== 0 && "only root gives files away" }, () => {
  chownSync(file("index.json"), 4711, 4711);
  assert.throws(() => catalogue.find("index"), invalid(/owned by user 4711/));
  chownSync(file("index.json"), 0, 0);
  chownSync(directory, 4711, 4711);
  assert.throws(() => catalogue.find("index"), invalid(/owned by user 4711/));
});

test("catalogue: S2, a link is followed, and what it leads to is checked", () => {
  mkdirSync(file("elsewhere"));
  renameSync(file("index.json"), file("elsewhere/x"));
  symlinkSync("elsewhere/x", file("index.json"));
  assert.equal(catalogue.find("index")?.service, "index");
  chmodSync(file("elsewhere/x"), 0o666);
  assert.throws(() => catalogue.find("index"), invalid(/written by others/));
});

test("catalogue: S3, a bad file disables its own service; list says why", () => {
  define("fine");
  define("fine-too"); // sorts before fine by the files' names
  catalogue.setCurrentVersion("fine", "2.0.0");
  write(file("broken.json"), "{");
  define("typo", { rooot: 1 });
  define("upgraded");
  write(file("upgraded.version"), "newest\n");
  write(file("a b.json"), "{}");
  mkdirSync(file("folder.json"));
  symlinkSync("nowhere", file("lost.json"));
  write(file("large.json"), "");
  truncateSync(file("large.json"), 64 * 1024 + 1);
  write(file(".#fine.json"), "an editor's");
  write(file("readme.txt"), "");
  const faults = {
    "a b": /a service's name/, broken: /JSON/, fine: null, "fine-too": null, folder: /no regular file/, index: null, large: /larger than 65536/, lost: /link to nothing/,
    typo: /rooot: is no field/, upgraded: /"newest" is no semantic version/,
  };
  const listed = catalogue.list();
  assert.deepEqual(listed.map(({ service }) => service), Object.keys(faults));
  for (const { service, definition, fault, current } of listed) {
    const expected = faults[service as keyof typeof faults];
    if (expected === null) assert.equal(fault, null, service);
    else assert.match(String(fault), expected, service);
    assert.equal(definition === null, expected !== null && service !== "upgraded", service);
    assert.equal(current, service === "fine" ? "2.0.0" : null);
  }
});

test("catalogue: a file at the bound is read", () => {
  const text = readFileSync(file("index.json"), "utf8");
  write(file("index.json"), text + " ".repeat(64 * 1024 - text.length));
  assert.equal(catalogue.find("index")?.service, "index");
});

test("catalogue: something else in the directory's place is refused", () => {
  assert.throws(() => new ServiceCatalogue(file("index.json")).find("index"), invalid(/no directory/));
});

test("catalogue: something else in a file's place is refused, and holds nobody up", () => {
  mkdirSync(file("folder.json"));
  assert.equal(spawnSync("mkfifo", ["-m", "600", file("pipe.json")]).status, 0);
  for (const service of ["folder", "pipe"]) assert.throws(() => catalogue.find(service), invalid(/^is no regular file$/));
  symlinkSync("circle.json", file("circle.json"));
  assert.throws(() => catalogue.find("circle"), invalid(/ELOOP/));
});

test("current version: none, then what was set, also for another process; the file is private and no draft stays", () => {
  assert.equal(catalogue.currentVersion("index"), null);
  for (const version of ["1.0.0", "1.1.0", "1.0.9"]) {
    catalogue.setCurrentVersion("index", version);
    assert.equal(catalogue.currentVersion("index"), version);
    assert.equal(new ServiceCatalogue(directory).currentVersion("index"), version);
  }
  assert.equal(statSync(file("index.version")).mode & 0o777, 0o600);
  assert.equal(readFileSync(file("index.version"), "utf8"), "1.0.9\n");
  assert.deepEqual(readdirSync(directory).toSorted(), ["index.json", "index.version"]);
});

test("current version: another process's change is seen", () => {
  catalogue.setCurrentVersion("index", "1.0.0");
  assert.equal(catalogue.currentVersion("index"), "1.0.0");
  new ServiceCatalogue(directory).setCurrentVersion("index", "1.0.1");
  utimesSync(file("index.version"), ++time, time);
  assert.equal(catalogue.currentVersion("index"), "1.0.1");
  rmSync(file("index.version"));
  assert.equal(catalogue.currentVersion("index"), null);
});

test("current version: a damaged file is refused, and not taken for none", () => {
  for (const text of ["", "\n", "v1.0.0\n", "1.0.0 2.0.0\n", "1.0.0".padEnd(66)]) {
    write(file("index.version"), text);
    assert.throws(() => catalogue.currentVersion("index"), { code: "SERVICE_INVALID" }, JSON.stringify(text));
  }
});

test("current version: the longest version there is can be set", () => {
  const version = `1.0.0-${"a".repeat(58)}`;
  catalogue.setCurrentVersion("index", version);
  assert.equal(catalogue.currentVersion("index"), version);
});

test("current version: it is set only for a service that is there, and admits it", () => {
  define("index", { minimumVersion: "2.0.0" });
  assert.throws(() => catalogue.setCurrentVersion("other", "2.0.0"), { code: "NOT_FOUND" });
  for (const version of ["1.0.0", "newest", "../x"]) {
    assert.throws(() => catalogue.setCurrentVersion("index", version), (error) => error instanceof RefusedError && error.code === "version-unsupported", version);
  }
  assert.equal(catalogue.currentVersion("index"), null);
});

test("current version: what cannot be written is SERVICE_INVALID, and leaves no draft", () => {
  mkdirSync(file("index.version"));
  assert.throws(() => catalogue.setCurrentVersion("index", "1.0.0"), { code: "SERVICE_INVALID" });
  assert.deepEqual(readdirSync(directory).toSorted(), ["index.json", "index.version"]);
});

const settings = join(homedir(), ".config", "holdfast", "services");
const homes: readonly { environment: NodeJS.ProcessEnv; is: string }[] = [
  { environment: { HOLDFAST_SERVICES: "/a", XDG_CONFIG_HOME: "/b" }, is: "/a" },
  { environment: { HOLDFAST_SERVICES: "a" }, is: resolve("a") },
  { environment: { HOLDFAST_SERVICES: "", XDG_CONFIG_HOME: "/b" }, is: "/b/holdfast/services" },
  { environment: { XDG_CONFIG_HOME: "" }, is: settings },
  { environment: {}, is: settings },
];
for (const { environment, is } of homes) {
  test(`catalogue: ${JSON.stringify(environment)} means ${is}`, () => assert.equal(servicesDirectory(environment), is));
}
