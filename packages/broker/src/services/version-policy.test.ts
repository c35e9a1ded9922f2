import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { checkVersion, isVersion, isVersionRange, versionToServe } from "./version-policy.ts";

const versions: readonly [text: string, is: boolean][] = [
  ["1.0.0", true], ["0.0.0", true], ["1.10.0-rc.1", true], ["1.0.0+build.5", true], ["1.0.0-a-b+c-d", true],
  ["", false], ["1", false], ["1.0", false], ["01.0.0", false], ["v1.0.0", false], ["=1.0.0", false], [" 1.0.0", false], ["1.0.0 ", false],
  ["1.0.0\n", false], ["^1.0.0", false], ["latest", false], ["1.0.0/..", false], ["1.0.0-", false], ["99999999999999999999.0.0", false],
  [`1.0.0-${"a".repeat(58)}`, true], [`1.0.0-${"a".repeat(59)}`, false],
];
for (const [text, is] of versions) {
  test(`version: ${JSON.stringify(text)} is ${is ? "" : "no "}version`, () => assert.equal(isVersion(text), is));
}

for (const [text, is] of [["1.0.0", true], ["^1", true], [">=1.2 <2 || 3.x", true], ["*", true], ["", false], ["  ", false], ["latest", false], [">=x.y.zz", false]] as const) {
  test(`version: ${JSON.stringify(text)} is ${is ? "a" : "no"} range`, () => assert.equal(isVersionRange(text), is));
}

const policies: readonly { name: string; minimum?: string; allowed?: readonly string[]; version: string; admitted: boolean }[] = [
  { name: "without a policy every version will do", version: "0.0.1-alpha", admitted: true },
  { name: "but it must be one", version: "newest", admitted: false },
  { name: "the minimum itself", minimum: "1.10.0", version: "1.10.0", admitted: true },
  { name: "versions are no decimal fractions", minimum: "1.10.0", version: "1.9.0", admitted: false },
  { name: "newer than the minimum", minimum: "1.10.0", version: "1.10.1", admitted: true },
  { name: "a prerelease is below its release", minimum: "1.10.0", version: "1.10.0-rc", admitted: false },
  { name: "a prerelease of a later one is above", minimum: "1.10.0", version: "1.11.0-rc", admitted: true },
  { name: "a minimum may be a prerelease", minimum: "1.10.0-rc.2", version: "1.10.0-rc.10", admitted: true },
  { name: "build metadata has no rank", minimum: "1.10.0+b", version: "1.10.0+a", admitted: true },
  { name: "an allowed version", allowed: ["1.0.0", "1.2.0"], version: "1.2.0", admitted: true },
  { name: "none of the allowed", allowed: ["1.0.0", "1.2.0"], version: "1.1.0", admitted: false },
  { name: "in an allowed range", allowed: ["0.9.0", "^1.2.0"], version: "1.9.9", admitted: true },
  { name: "outside of it", allowed: ["^1.2.0"], version: "2.0.0", admitted: false },
  { name: "a range takes no prerelease", allowed: ["^1.2.0"], version: "1.3.0-rc", admitted: false },
  { name: "unless it names one of that version", allowed: ["^1.2.0-rc.1"], version: "1.2.0-rc.2", admitted: true },
  { name: "and then of no other version", allowed: ["^1.2.0-rc.1"], version: "1.3.0-rc.2", admitted: false },
  { name: "both must hold: the minimum", minimum: "1.5.0", allowed: ["^1.2.0"], version: "1.4.0", admitted: false },
  { name: "both must hold: the list", minimum: "1.5.0", allowed: ["^1.2.0"], version: "2.4.0", admitted: false },
];
for (const { name, minimum = null, allowed = null, version, admitted } of policies) {
  test(`policy: ${name}`, () => {
    const refused = checkVersion({ service: "index", minimumVersion: minimum, allowedVersions: allowed }, version);
    assert.equal(refused === undefined, admitted, refused?.message);
    if (refused === undefined) return;
    assert.equal(refused.code, "version-unsupported");
    assert.equal(refused.retryAfterMs, null, "asking again does not help");
    assert.deepEqual(refused.details, { version, minimumVersion: minimum, allowedVersions: allowed });
  });
}

test("policy: any text is admitted or refused, and what is admitted is a version", () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^v?[0-9]{1,2}\.[0-9]\.[0-9](-[a-z0-9.]{0,4})?$/));
  fc.assert(fc.property(text, fc.option(fc.constant(["*", "1.0.0-rc"])), (version, allowedVersions) => {
    const refused = checkVersion({ service: "index", minimumVersion: null, allowedVersions }, version);
    if (allowedVersions === null) assert.equal(refused === undefined, isVersion(version));
    else if (refused === undefined) assert.ok(isVersion(version));
  }), { numRuns: 1000 });
});

const served: readonly { wanted: string; exact?: boolean; current: string | null; gets: string | null }[] = [
  { wanted: "1.0.0", current: null, gets: "1.0.0" },
  { wanted: "1.0.0", exact: true, current: null, gets: "1.0.0" },
  { wanted: "1.0.0", current: "1.1.0", gets: "1.1.0" },
  { wanted: "1.1.0", current: "1.1.0", gets: "1.1.0" },
  { wanted: "1.2.0", current: "1.1.0", gets: "1.2.0" },
  { wanted: "1.1.0-rc", current: "1.1.0", gets: "1.1.0" },
  { wanted: "1.1.0", current: "1.1.0-rc", gets: "1.1.0" },
  { wanted: "1.9.0", current: "1.10.0", gets: "1.10.0" },
  { wanted: "1.1.0+b", exact: true, current: "1.1.0+a", gets: "1.1.0+b" },
  { wanted: "1.1.0", exact: true, current: "1.1.0", gets: "1.1.0" },
  { wanted: "1.2.0", exact: true, current: "1.1.0", gets: "1.2.0" },
  { wanted: "1.0.0", exact: true, current: "1.1.0", gets: null },
];
test("upgrade: what is no version gets none, with or without a current one", () => {
  for (const current of [null, "1.0.0"]) {
    const given = versionToServe({ wanted: "newest", exact: false, current });
    assert.ok(typeof given !== "string");
    assert.equal(given.code, "version-unsupported");
    assert.deepEqual(given.details, { version: "newest" });
  }
});

for (const { wanted, exact = false, current, gets } of served) {
  test(`upgrade: ${exact ? "exactly " : ""}${wanted}, with ${current} current, gets ${gets ?? "refused"}`, () => {
    const given = versionToServe({ wanted, exact, current });
    if (gets !== null) return assert.equal(given, gets);
    assert.ok(typeof given !== "string");
    assert.equal(given.code, "version-blocked");
    assert.equal(given.retryAfterMs, 30_000);
    assert.deepEqual(given.details, { wanted, current });
  });
}
