import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRoute, routeOf, siteOf } from "./route.ts";

const cases: [string, string][] = [
  ["/", "/"], ["/v1/items", "/v1/items"], ["/v1/items/7", "/v1/items/:id"], ["/users/3f2b6c1e-0000-4000-8000-123456789abc/posts", "/users/:id/posts"],
  ["/a%20b", "/:id"], ["/abcdefghijklmnopqrstuvwxyz", "/:id"], ["/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f/*"], ["/v12345", "/:id"],
];

for (const [path, route] of cases) test(`route: ${path} is of ${route}`, () => assert.equal(routeOf(path, []), route));

test("route: addresses, and values by their names, are no names", () => {
  for (const value of ["bob@example.com", "key=secret", "a;jsessionid=Abc"]) assert.equal(siteOf("GET", `/users/${value}/mail`, []), "GET /users/:id/mail");
});

test("route: the first template that fits", () => {
  const templates = ["/shops/:shop", "/shops/:shop/*", "/me"].map(parseRoute);
  assert.equal(routeOf("/shops/paris", templates), "/shops/:shop");
  assert.equal(routeOf("/shops/paris/a/b", templates), "/shops/:shop/*");
  assert.equal(routeOf("/me", templates), "/me");
  assert.equal(routeOf("/me/7", templates), "/me/:id");
});
