import { escape, LogAxis, px } from "../../report/svg.ts";
import { SHARES } from "../figures.ts";
import type { Scenario } from "../scenarios.ts";
import type { Row } from "./report.ts";

const WIDTH = 760;
const HEIGHT = 420;
const LEFT = 70;
const RIGHT = 190;
const TOP = 40;
const BOTTOM = 50;
const LINE = 14;
const MARKED = [0.5, 0.9, 0.99, 0.999, 0.9999];
const OTHERS = ["#94a3b8", "#64748b", "#1d4ed8", "#15803d"];
const OURS = ["#fb923c", "#c2410c"];

/** Latency by the share of answers that came sooner: each step to the right is one nine more; lower is better. Dashed: hedged. */
export function curves(scenario: Scenario, rows: readonly Row[]): string {
  const y = new LogAxis(rows.flatMap(({ figures }) => figures.curve), HEIGHT - BOTTOM, TOP);
  const first = nines(SHARES[0]);
  const x = (share: number) => LEFT + ((nines(share) - first) / (nines(SHARES.at(-1) as number) - first)) * (WIDTH - RIGHT - LEFT);
  const ends = labels(rows.map(({ figures }) => y.at(figures.curve.at(-1) as number)));
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="22" font-size="15">${escape(scenario.title)}</text>`,
    ...MARKED.map((share) => `<path d="M${px(x(share))} ${TOP}V${HEIGHT - BOTTOM}" stroke="#ddd"/><text x="${px(x(share))}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${Number((100 * share).toFixed(2))} %</text>`),
    ...y.ticks.map((tick) => `<path d="M${LEFT} ${px(y.at(tick))}H${WIDTH - RIGHT}" stroke="#ddd"/><text x="${LEFT - 6}" y="${px(y.at(tick) + 4)}" text-anchor="end">${Number(tick.toPrecision(1))}</text>`),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 12}" text-anchor="middle">answers that came sooner</text>`,
    `<text transform="translate(16 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">latency, ms</text>`,
    ...rows.map(({ policy, figures }, at) => {
      const colour = colourOf(rows, at);
      const points = figures.curve.map((latency, step) => `${px(x(SHARES[step] as number))},${px(y.at(latency))}`).join(" ");
      const dashes = policy.hedges === true ? ' stroke-dasharray="5 3"' : "";
      return `<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="1.5"${dashes}/><text x="${WIDTH - RIGHT + 8}" y="${px(ends[at] as number)}" fill="${colour}">${escape(policy.name)}</text>`;
    }),
    "</svg>",
  ];
  return `${lines.join("\n")}\n`;
}

function nines(share: number): number {
  return -Math.log10(1 - share);
}

/** A hedged policy has the colour of the plain one. */
function colourOf(rows: readonly Row[], at: number): string {
  const { policy } = rows[at] as Row;
  const alike = rows.filter((row) => (row.policy.isOurs === true) === (policy.isOurs === true) && row.policy.hedges !== true);
  const place = alike.findIndex((row) => policy.name === row.policy.name || policy.name === `${row.policy.name}, hedged`);
  const colours = policy.isOurs === true ? OURS : OTHERS;
  return colours[place % colours.length] as string;
}

/** Where the curves' names stand: at their ends, moved down so that none covers another, and up again from the bottom. */
function labels(ends: readonly number[]): number[] {
  const order = ends.map((end, at) => ({ end, at })).sort((a, b) => a.end - b.end);
  const placed = Array<number>(ends.length).fill(0);
  let next = TOP;
  for (const [step, { end, at }] of order.entries()) {
    const last = HEIGHT - BOTTOM - LINE * (order.length - 1 - step);
    placed[at] = Math.min(Math.max(end + 4, next), last);
    next = (placed[at] as number) + LINE;
  }
  return placed;
}
