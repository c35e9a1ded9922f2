import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, sep } from "node:path";
import { after, test } from "node:test";
import { RuntimeError } from "@holdfast/core/peer";
import fc from "fast-check";
import { domainOf, entryPath, parseServiceDefinition, type ServiceDefinition } from "./service-definition.ts";

const least = { service: "index", root: "/srv/index", entry: "/srv/index/main.js" };
const parse = (given: object, stem = "index") => parseServiceDefinition(JSON.stringify({ ...least, ...given }), stem);
const scratch = realpathSync(mkdtempSync(join(tmpdir(), "holdfast-definition-")));
after(() => rmSync(scratch, { recursive: true }));

/** The refusal's details, which must be bounded. */
function refused(act: () => unknown): { service: string; at: string; reason: string } {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof RuntimeError, String(error));
    assert.equal(error.code, "SERVICE_INVALID");
    const details = error.details as { service: string; at: string; reason: string };
    for (const text of Object.values(details)) assert.ok(text.length <= 512, "a detail is bounded");
    return details;
  }
  assert.fail("nothing was refused");
}

test("definition: what is left out has its default", () => {
  assert.deepEqual(parse({}), {
    ...least, arguments: [], nodeOptions: [], environment: {}, minimumVersion: null, allowedVersions: null,
    isolation: "shared", handoff: null, labels: {},
  });
});

test("definition: what is given is kept", () => {
  const given: ServiceDefinition = {
    service: "index", root: "/srv", entry: "/srv/{version}/main.js", arguments: ["--port=0", "x y"], nodeOptions: ["--max-old-space-size=64"],
    environment: { LANG: "C", _x1: "" }, minimumVersion: "1.2.0-rc.1", allowedVersions: ["^1.2.0", "2.0.0-rc.1"],
    isolation: { named: "group.a" }, handoff: false, labels: { "team/owner": "search" },
  };
  assert.deepEqual(parse(given), given);
});

test("definition: two dots may begin a name", () => {
  assert.equal(parse({ entry: "/srv/index/..x/main.js" }).entry, "/srv/index/..x/main.js");
});

const refusals: readonly { name: string; given: object; at: string; reason?: RegExp }[] = [
  { name: "an unknown field is named", given: { argumants: [] }, at: "argumants", reason: /no field/ },
  { name: "so is one that every object has", given: { toString: "x" }, at: "toString", reason: /no field/ },
  { name: "another service's name", given: { service: "other" }, at: "service", reason: /must be index/ },
  { name: "a missing root", given: { root: undefined }, at: "root", reason: /missing/ },
  { name: "a relative root", given: { root: "srv/index" }, at: "root", reason: /absolute/ },
  { name: "a relative entry", given: { entry: "main.js" }, at: "entry", reason: /absolute/ },
  { name: "an entry elsewhere", given: { entry: "/srv/other/main.js" }, at: "entry", reason: /inside root/ },
  { name: "an entry whose folder's name only begins like root", given: { entry: "/srv/index2/main.js" }, at: "entry", reason: /inside root/ },
  { name: "an entry that climbs out", given: { entry: "/srv/index/../other/main.js" }, at: "entry", reason: /inside root/ },
  { name: "an entry that climbs out past its version", given: { entry: "/srv/index/{version}/../../x" }, at: "entry", reason: /inside root/ },
  { name: "what the root lies in", given: { root: "/srv/index/root", entry: "/srv/index" }, at: "entry", reason: /inside root/ },
  { name: "the root as entry", given: { entry: "/srv/index/" }, at: "entry", reason: /inside root/ },
  { name: "a NUL in a path", given: { entry: "/srv/index/a\0b" }, at: "entry", reason: /NUL/ },
  { name: "a NUL in an argument", given: { arguments: ["a", "b\0"] }, at: "arguments.1", reason: /NUL/ },
  { name: "an argument that is no text", given: { arguments: [1] }, at: "arguments.0" },
  { name: "too many arguments", given: { arguments: Array(257).fill("x") }, at: "arguments", reason: /more than 256/ },
  { name: "a program among node's options", given: { nodeOptions: ["--import=x", "/tmp/other.js"] }, at: "nodeOptions.1" },
  { name: "the end of node's options", given: { nodeOptions: ["--"] }, at: "nodeOptions.0" },
  { name: "node's standard input as program", given: { nodeOptions: ["-"] }, at: "nodeOptions.0" },
  { name: "a list as environment", given: { environment: [] }, at: "environment", reason: /object/ },
  { name: "a variable's name with =", given: { environment: { "A=B": "c" } }, at: "environment.A=B" },
  { name: "a variable that is no text", given: { environment: { A: 1 } }, at: "environment.A" },
  { name: "a variable that valibot drops", given: { environment: { constructor: "x" } }, at: "environment", reason: /cannot hold/ },
  { name: "a NUL in a variable", given: { environment: { A: "\0" } }, at: "environment.A", reason: /NUL/ },
  { name: "a minimum that is a range", given: { minimumVersion: "^1.0.0" }, at: "minimumVersion" },
  { name: "a minimum with a v", given: { minimumVersion: "v1.0.0" }, at: "minimumVersion" },
  { name: "an allowed version that is none", given: { allowedVersions: ["1.0.0", "latest"] }, at: "allowedVersions.1" },
  { name: "an empty allowed version, which would mean any", given: { allowedVersions: [" "] }, at: "allowedVersions.0" },
  { name: "a list that allows nothing", given: { allowedVersions: [] }, at: "allowedVersions", reason: /nothing/ },
  { name: "an unknown isolation", given: { isolation: "none" }, at: "isolation", reason: /private/ },
  { name: "a group with a slash", given: { isolation: { named: "a/b" } }, at: "isolation" },
  { name: "a group with more", given: { isolation: { named: "a", extra: 1 } }, at: "isolation" },
  { name: "a handoff that is no boolean", given: { handoff: "yes" }, at: "handoff" },
  { name: "a label's name with blanks", given: { labels: { "a b": "c" } }, at: "labels.a b" },
  { name: "too many labels", given: { labels: Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`l${n}`, ""])) }, at: "labels" },
  { name: "a name of endless length is cut", given: { ["x".repeat(60_000)]: 1 }, at: `${"x".repeat(511)}…` },
];

for (const { name, given, at, reason } of refusals) {
  test(`definition: refused is ${name}`, () => {
    const details = refused(() => parse(given));
    assert.equal(details.service, "index");
    assert.equal(details.at, at);
    assert.match(details.reason, reason ?? /./);
  });
}

for (const text of ["", "{", "[]", "null", "3", "[".repeat(60_000)]) {
  test(`definition: refused is the text ${text.slice(0, 4)}`, () => void refused(() => parseServiceDefinition(text, "index")));
}

test("definition: a name that is no service's is refused even if the file is called so", () => {
  assert.equal(refused(() => parse({ service: "In/dex" }, "In/dex")).at, "service");
});

/** Values that come near to the right ones, and far from them; most definitions have few that are wrong. */
const wild = fc.oneof(fc.json().map((json) => JSON.parse(json) as unknown), fc.constantFrom("/", "/srv", "1.0.0", "{version}", "shared", null), fc.string());
const mostly = (right: fc.Arbitrary<unknown>) => fc.oneof({ weight: 9, arbitrary: right }, wild);
const texts = fc.dictionary(fc.stringMatching(/^[A-Za-z_][a-z0-9_/.-]{0,3}$/), fc.string());
const fields = fc.record({
  service: mostly(fc.constant("index")), root: mostly(fc.constantFrom("/", "/srv")), entry: mostly(fc.constantFrom("/srv/{version}/x", "/srv/main.js")),
  arguments: mostly(fc.array(fc.string())), nodeOptions: mostly(fc.array(fc.string().map((text) => `--a${text}`))), environment: mostly(texts), labels: mostly(texts),
  minimumVersion: mostly(fc.constantFrom("1.0.0", null)), allowedVersions: mostly(fc.array(fc.constantFrom("1.0.0", "^1", "*"))),
  isolation: mostly(fc.constantFrom("shared", "private", { named: "a" })), handoff: mostly(fc.constantFrom(true, false, null)),
}, { requiredKeys: ["service", "root", "entry"] });

test("definition: whatever the text, there is a definition or SERVICE_INVALID", () => {
  const text = fc.oneof(fc.string(), fc.json(), fields.map((given) => JSON.stringify(given)));
  let accepted = 0;
  fc.assert(fc.property(text, fc.constantFrom("index", "index", "index", "x", ""), (text, stem) => {
    try {
      const definition = parseServiceDefinition(text, stem);
      assert.equal(definition.service, stem);
      accepted++;
      // A definition that was accepted says the same when it is written and read again.
      assert.deepEqual(parseServiceDefinition(JSON.stringify(definition), stem), definition);
    } catch (error) {
      if (!(error instanceof RuntimeError) || error.code !== "SERVICE_INVALID") throw error;
    }
  }), { numRuns: 2000 });
  assert.ok(accepted > 0, `some are definitions (${accepted})`);
});

const domains = [
  { isolation: "shared", domain: "shared" }, { isolation: "private", domain: "svc-index" }, { isolation: { named: "shared" }, domain: "grp-shared" },
] as const;
for (const { isolation, domain } of domains) {
  test(`definition: ${JSON.stringify(isolation)} is the domain ${domain}`, () => assert.equal(domainOf({ service: "index", isolation }), domain));
}

/** A root with a folder, and things outside it; links lead to and fro. */
function makeTree(name: string): { root: string; outside: string } {
  const base = join(scratch, name);
  const [root, outside] = [join(base, "root"), join(base, "outside")];
  for (const path of [join(root, "1.0.0"), outside]) mkdirSync(path, { recursive: true });
  for (const path of [join(root, "1.0.0", "main.js"), join(root, "main.js"), join(outside, "main.js")]) writeFileSync(path, "");
  return { root, outside };
}
const defined = (root: string, entry: string): ServiceDefinition => parse({ root, entry: join(root, entry) });

test("entry: the version is put in, everywhere", () => {
  const { root } = makeTree("versions");
  writeFileSync(join(root, "1.0.0", "main-1.0.0.js"), "");
  const definition = defined(root, "{version}/main-{version}.js");
  assert.equal(entryPath(definition, "1.0.0"), join(root, "1.0.0", "main-1.0.0.js"));
  const { at, reason } = refused(() => entryPath(definition, "2.0.0"));
  assert.equal(at, "entry");
  assert.match(reason, /ENOENT/);
});

test("entry: links within the root are followed, and those of the root itself", () => {
  const { root } = makeTree("links");
  symlinkSync("1.0.0", join(root, "2.0.0"));
  symlinkSync(root, `${root}-link`);
  assert.equal(entryPath(defined(`${root}-link`, "{version}/main.js"), "2.0.0"), join(root, "1.0.0", "main.js"));
});

const entryRefusals: readonly { name: string; at: string; reason: RegExp; make: (tree: { root: string; outside: string }) => ServiceDefinition }[] = [
  {
    name: "a folder that leads out", at: "entry", reason: /outside/,
    make: ({ root, outside }) => (symlinkSync(outside, join(root, "out")), defined(root, "out/main.js")),
  },
  {
    name: "a file that leads out", at: "entry", reason: /outside/,
    make: ({ root, outside }) => (symlinkSync(join(outside, "main.js"), join(root, "out.js")), defined(root, "out.js")),
  },
  {
    name: "a version's folder that leads out", at: "entry", reason: /outside/,
    make: ({ root, outside }) => (rmSync(join(root, "1.0.0"), { recursive: true }), symlinkSync(outside, join(root, "1.0.0")), defined(root, "{version}/main.js")),
  },
  { name: "a folder as entry", at: "entry", reason: /regular/, make: ({ root }) => defined(root, "{version}") },
  {
    name: "links in a circle", at: "entry", reason: /ELOOP/,
    make: ({ root }) => (symlinkSync("b", join(root, "a")), symlinkSync("a", join(root, "b")), defined(root, "a")),
  },
  { name: "a root that is not there", at: "root", reason: /ENOENT/, make: ({ root }) => defined(join(root, "none"), "main.js") },
];
for (const [at, refusal] of entryRefusals.entries()) {
  test(`entry: refused is ${refusal.name}`, () => {
    const definition = refusal.make(makeTree(`refused-${at}`));
    const details = refused(() => entryPath(definition, "1.0.0"));
    assert.equal(details.at, refusal.at);
    assert.match(details.reason, refusal.reason);
  });
}

for (const version of ["", "..", "../outside", "1.0.0/../..", "v1.0.0", " 1.0.0", "1.0.0\n", "1.0", "1.0.0\0"]) {
  test(`entry: ${JSON.stringify(version)} is no version`, () => {
    const { root } = makeTree(`no-version-${Buffer.from(version).toString("hex")}`);
    assert.equal(refused(() => entryPath(defined(root, "{version}/main.js"), version)).at, "version");
    assert.equal(refused(() => entryPath(defined(root, "main.js"), version)).at, "version", "though the entry needs none");
  });
}

test("entry: whatever the links and the version, it is a file inside the root, or SERVICE_INVALID", () => {
  const folder = fc.constantFrom("a", "b", "1.0.0", "..a");
  const step = fc.oneof({ weight: 3, arbitrary: folder }, fc.constantFrom("..", ".", "{version}", "x{version}", ".{version}"));
  const way = fc.array(step, { maxLength: 3 }).map((steps) => [...steps, "main.js"].join("/"));
  const place = fc.array(folder, { minLength: 1, maxLength: 2 }).map((steps) => steps.join("/"));
  const target = fc.oneof(place, place.map((to) => `../${to}`), fc.constantFrom("BASE", "BASE/tree", "BASE/tree/a", "BASE/outside", "BASE/outside/main.js"));
  const link = fc.oneof(fc.tuple(place, target), fc.tuple(place.map((at) => `${at}/main.js`), fc.option(target)));
  const links = fc.array(fc.tuple(fc.constantFrom("tree", "tree", "tree", "outside"), link), { maxLength: 8 });
  const version = fc.oneof(fc.constant("1.0.0"), fc.array(fc.constantFrom("..", "/", "1.0.0", "a", "\0"), { maxLength: 4 }).map((parts) => parts.join("")));
  let [inside, outside, run] = [0, 0, 0];
  fc.assert(fc.property(links, fc.constantFrom("tree", "tree/a"), fc.oneof(way, fc.constant(null)), version, (links, rootAt, given, version) => {
    const base = join(scratch, `property-${run++}`);
    const entry = given ?? links.at(0)?.[1][0] ?? "main.js"; // the way itself, or the first link
    for (const path of ["tree", "tree/a", "outside"]) {
      mkdirSync(join(base, path), { recursive: true });
      writeFileSync(join(base, path, "main.js"), "");
    }
    for (const [side, [at, to]] of links) {
      const path = join(base, side, at);
      try {
        mkdirSync(dirname(path), { recursive: true });
        if (to === null) writeFileSync(path, "");
        else symlinkSync(to.replace("BASE", base), path);
      } catch { /* this place is taken */ }
    }
    try {
      const root = join(base, rootAt);
      const path = entryPath(parse({ root, entry: `${root}/${entry}` }), version);
      assert.equal(realpathSync(path), path);
      assert.ok(path.startsWith(realpathSync(root) + sep), `${path} is outside ${root}`);
      inside++;
    } catch (error) {
      if (!(error instanceof RuntimeError) || error.code !== "SERVICE_INVALID") throw error;
      if (String(error.details["reason"]).includes("leads to")) outside++;
    } finally {
      rmSync(base, { recursive: true });
    }
  }), { numRuns: 800 });
  assert.ok(inside > 0 && outside > 0, `both happen (${inside} inside, ${outside} led out)`);
});
