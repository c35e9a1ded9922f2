import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { listFiles } from "./list-files.ts";
import { planBatches } from "./plan-batches.ts";
import { plainPass } from "./plain-pass.ts";

const base = mkdtempSync(join(tmpdir(), "holdfast-text-index-"));
after(() => rmSync(base, { recursive: true }));

function corpus(): string {
  const root = mkdtempSync(join(base, "corpus-"));
  mkdirSync(join(root, "deep", "er"), { recursive: true });
  writeFileSync(join(root, "a.md"), "The quick brown fox; the QUICK fox_1.\n");
  writeFileSync(join(root, "deep", "b.ts"), `const x = 1; ${"y".repeat(65)} ${"z".repeat(64)}`);
  writeFileSync(join(root, "deep", "er", "c d.json"), '{"fox": [10, 200]}');
  writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x2e, 0x74, 0x78, 0x74])]), "no utf8 name");
  writeFileSync(join(root, "empty.txt"), "");
  writeFileSync(join(root, "ignored.bin"), "fox");
  writeFileSync(join(root, "no-extension"), "fox");
  symlinkSync("a.md", join(root, "link.md"));
  symlinkSync("deep", join(root, "link"));
  return root;
}

test("plain pass: agrees with find, tr, sort and uniq", async () => {
  const root = corpus();
  const exported = join(base, "export.txt");
  const pass = await plainPass(root, exported);
  const script = `
    find "$1" -type f \\( -name '*.md' -o -name '*.txt' -o -name '*.ts' -o -name '*.js' -o -name '*.mjs' -o -name '*.cjs' -o -name '*.json' \\) -exec sh -c '
      for file; do tr -cs A-Za-z0-9_ "\\n" < "$file" | tr A-Z a-z | grep -xE ".{2,64}" | sort | uniq -c; done' sh {} + |
    awk '{ o[$2] += $1; d[$2]++ } END { for (t in o) print t "\\t" o[t] "\\t" d[t] }' | sort`;
  const expected = execFileSync("sh", ["-c", script, "sh", root], { env: { ...process.env, LC_ALL: "C" }, encoding: "utf8" });
  assert.equal(readFileSync(exported, "latin1"), expected);
  assert.equal(pass.documents, 5);
  assert.match(expected, /^fox\t2\t2$/m);
});

test("batches: every file is in one, and there are enough to share", async () => {
  const root = join(base, "many");
  mkdirSync(root);
  for (let n = 0; n < 200; n++) writeFileSync(join(root, `${n}.txt`), "word ".repeat(n));
  const files = await listFiles(root);
  const batches = planBatches(files);
  assert.deepEqual(batches.flatMap(({ paths }) => paths), files.map(({ path }) => path));
  assert.deepEqual(batches.map(({ number }) => number), batches.map((_, at) => at));
  assert.ok(batches.length >= 50 && batches.length <= 120, String(batches.length));
  assert.deepEqual(planBatches([]), []);
});
