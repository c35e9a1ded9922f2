/** A strict reader of OpenMetrics 1.0 text, for tests: what the specification forbids throws. Without exemplars and timestamps. */
import assert from "node:assert/strict";

export interface MetricSample {
  readonly suffix: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricFamily {
  readonly type: string;
  readonly help: string;
  readonly unit: string;
  readonly samples: readonly MetricSample[];
}

const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ["_total"], gauge: [""], histogram: ["_bucket", "_count", "_sum"],
};
const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const ESCAPED = String.raw`(?:[^"\\\n]|\\[\\n"])*`;
const LABEL = `[a-zA-Z_][a-zA-Z0-9_]*="${ESCAPED}"`;
const METADATA = new RegExp(`^# (TYPE|UNIT|HELP) (${NAME}) (${ESCAPED})$`);
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? (\\S+)$`);
const NUMBER = /^(?:[+-]?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|[+-]Inf|NaN)$/;

/** Families by name. Throws an AssertionError at the first line that is wrong. */
export function parseOpenMetrics(text: string): Map<string, MetricFamily> {
  assert.ok(text.endsWith("\n# EOF\n"), "ends with # EOF and a line's end");
  const families = new Map<string, MetricFamily>();
  let name = "";
  let heads: Record<string, string> = {};
  let samples: MetricSample[] = [];
  const finish = (): void => {
    if (name === "") return;
    assert.ok(!families.has(name), `${name} is one block`);
    const { TYPE: type = "", HELP: help = "", UNIT: unit = "" } = heads;
    families.set(name, { type, help: unescape(help), unit, samples });
    checkFamily(name, { type, help, unit, samples });
  };
  for (const line of text.slice(0, -"# EOF\n".length - 1).split("\n")) {
    const [, keyword, family, content] = METADATA.exec(line) ?? [];
    if (keyword !== undefined && family !== undefined && content !== undefined) {
      if (family !== name) {
        finish();
        [name, heads, samples] = [family, {}, []];
      }
      assert.ok(!(keyword in heads) && samples.length === 0, `${keyword} of ${name} stands once, before the samples`);
      heads[keyword] = content;
      continue;
    }
    const [, full = "", labels = "", number = ""] = SAMPLE.exec(line) ?? assert.fail(`not a line of the format: ${line}`);
    assert.ok(full.startsWith(name) && SUFFIXES[heads["TYPE"] ?? ""]?.includes(full.slice(name.length)), `${full} belongs to ${name}`);
    assert.match(number, NUMBER);
    samples.push({ suffix: full.slice(name.length), labels: parseLabels(labels), value: parseNumber(number) });
  }
  finish();
  return families;
}

function checkFamily(name: string, { type, help, unit, samples }: MetricFamily): void {
  assert.ok(type in SUFFIXES, `${name} has a type`);
  assert.notEqual(help, "", `${name} is explained`);
  assert.ok(!name.endsWith("_total"), `${name}: the suffix is the sample's`);
  if (unit !== "") assert.ok(name.endsWith(`_${unit}`), `${name} names its unit`);
  const keys = samples.map(({ suffix, labels }) => JSON.stringify([suffix, Object.entries(labels).sort()]));
  assert.equal(new Set(keys).size, keys.length, `${name}: each series stands once`);
  for (const { value } of samples) {
    if (type !== "gauge") assert.ok(value >= 0 && Number.isFinite(value), `${name}: a count is no negative number`);
  }
  if (type === "histogram") checkHistogram(name, samples);
}

function checkHistogram(name: string, samples: readonly MetricSample[]): void {
  const series = Object.groupBy(samples, ({ labels: { le: _, ...labels } }) => JSON.stringify(labels));
  for (const [labels, of] of Object.entries(series)) {
    const group = of ?? [];
    const title = `${name}${labels}`;
    const buckets = group.filter(({ suffix }) => suffix === "_bucket");
    assert.deepEqual(group.slice(0, buckets.length), buckets, `${title}: buckets stand together`);
    assert.deepEqual(group.slice(buckets.length).map(({ suffix }) => suffix), ["_count", "_sum"], title);
    for (const [at, { labels, value }] of buckets.entries()) {
      assert.match(labels["le"] ?? "", /^(?:[0-9]+\.[0-9]+|\+Inf)$/, `${title}: bounds are written as floats`);
      const before = buckets[at - 1];
      if (before === undefined) continue;
      assert.ok(parseNumber(before.labels["le"] ?? "") < parseNumber(labels["le"] ?? ""), `${title}: bounds ascend`);
      assert.ok(before.value <= value, `${title}: buckets are cumulative`);
    }
    assert.equal(buckets.at(-1)?.labels["le"], "+Inf", title);
    assert.equal(buckets.at(-1)?.value, group[buckets.length]?.value, `${title}: the last bucket has all`);
  }
}

function parseLabels(text: string): Record<string, string> {
  const pairs = [...text.matchAll(new RegExp(LABEL, "g"))].map(([pair]) => {
    const at = pair.indexOf("=");
    return [pair.slice(0, at), unescape(pair.slice(at + 2, -1))] as const;
  });
  assert.equal(new Set(pairs.map(([name]) => name)).size, pairs.length, "a label stands once");
  return Object.fromEntries(pairs);
}

function unescape(text: string): string {
  return text.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
}

function parseNumber(text: string): number {
  return Number(text.replace("Inf", "Infinity"));
}
