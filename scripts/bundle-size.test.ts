import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { bundle } from "./bundle.ts";
import { root } from "./tools.ts";

/**
 * What a page loads for all that `@holdfast/fetch` has in browsers, minified and compressed, in bytes. Lower it whenever there is
 * less.
 */
const GZIP_BYTES_MAX = 17_500;

test("bundle size: run and fetch, for browsers", (context) => {
  const text = bundle(join(root, "packages/fetch/src/browser.ts"), ["--minify", "--platform=browser", "--conditions=holdfast-source"]);
  const { length: bytes } = gzipSync(text, { level: 9 });
  context.diagnostic(`${bytes} bytes with gzip, of ${GZIP_BYTES_MAX}; ${text.length} without`);
  assert.match(text, /openPeers/, "the bundle is one");
  assert.doesNotMatch(text, /node:|undici|UND_ERR|ECONN|onRequestStart|async_hooks|diagnostics_channel/, "nothing that only Node.js and its like have");
  assert.ok(bytes <= GZIP_BYTES_MAX, `${bytes} bytes exceed ${GZIP_BYTES_MAX}`);
});
