import assert from "node:assert/strict";
import { test } from "node:test";
import { BoundedNames, OTHER } from "./bounded-names.ts";

test("names: the first are named and stay so; a quarter is kept for those in trouble", () => {
  const names = new BoundedNames(4, 2);
  assert.deepEqual(["a", "b", "c", "d"].map((key) => names.peer(key, false)), ["a", "b", "c", OTHER]);
  assert.equal(names.peer("e", true), "e");
  assert.deepEqual(["f", "d"].map((key) => names.peer(key, true)), [OTHER, OTHER]);
  assert.deepEqual(["a", "e"].map((key) => names.peer(key, false)), ["a", "e"]);
});

test("names: sites are bounded for each peer, and what is other has no sites", () => {
  const names = new BoundedNames(2, 2);
  names.peer("a", false);
  names.peer("b", true);
  assert.deepEqual(["1", "2", "3", "1"].map((site) => names.site("a", site)), ["1", "2", OTHER, "1"]);
  assert.equal(names.site("b", "3"), "3");
  assert.equal(names.site(OTHER, "1"), OTHER);
});

test("names: a single one goes to the first", () => {
  assert.equal(new BoundedNames(1, 1).peer("a", false), "a");
});
