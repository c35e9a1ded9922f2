import { escape, label, LogAxis, px } from "../../report/svg.ts";
import type { Row, TraceResult } from "./report.ts";

const WIDTH = 720;
const HEIGHT = 420;
const LEFT = 70;
const RIGHT = 150;
const TOP = 40;
const BOTTOM = 50;
/** Width of a character of a label, about. */
const CHARACTER = 7;
/** What is faster stands here: a rule that suspects at the death already detects in no time. */
const LEAST_S = 0.1;

/** Detection time against mistakes, one point a rule; nearer to the lower left is better, the line is the front. */
export function scatter({ trace, rows }: TraceResult): string {
  const shown = rows.filter(({ figures }) => figures.detectionP99 !== Infinity);
  const least = leastRate(shown);
  const x = new LogAxis(shown.map(({ figures }) => Math.max(LEAST_S, figures.detectionP99)), LEFT, WIDTH - RIGHT);
  const y = new LogAxis(shown.map(({ figures }) => figures.mistakesPerDay || least), HEIGHT - BOTTOM, TOP);
  const place = ({ figures }: Row) => ({ x: x.at(Math.max(LEAST_S, figures.detectionP99)), y: y.at(figures.mistakesPerDay || least) });
  const front = shown.filter(({ verdict }) => verdict.kind === "front").map(place).sort((a, b) => a.x - b.x);
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="22" font-size="15">${escape(trace.title)}</text>`,
    ...x.ticks.map((tick) => `<path d="M${px(x.at(tick))} ${TOP}V${HEIGHT - BOTTOM}" stroke="#ddd"/><text x="${px(x.at(tick))}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${tick === LEAST_S ? "≤ " : ""}${label(tick)}</text>`),
    ...y.ticks.map((tick) => `<path d="M${LEFT} ${px(y.at(tick))}H${WIDTH - RIGHT}" stroke="#ddd"/><text x="${LEFT - 6}" y="${px(y.at(tick) + 4)}" text-anchor="end">${tick === least ? "none" : label(tick)}</text>`),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 12}" text-anchor="middle">detection time, p99, s</text>`,
    `<text transform="translate(16 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">false suspicions per peer-day</text>`,
    `<polyline points="${front.map((point) => `${px(point.x)},${px(point.y)}`).join(" ")}" fill="none" stroke="#888" stroke-dasharray="4 3"/>`,
    ...marks(shown, place),
    "</svg>",
  ];
  return `${lines.join("\n")}\n`;
}

/** Points in their order, labels pushed down where they would cover one another. */
function marks(rows: readonly Row[], place: (row: Row) => { x: number; y: number }): string[] {
  const placed = rows.map((row) => ({ row, ...place(row) })).sort((a, b) => a.y - b.y || a.x - b.x);
  const labels: { from: number; to: number; y: number }[] = [];
  return placed.map(({ row, x, y }) => {
    const [from, to] = [x + 8, x + 8 + CHARACTER * row.rule.name.length];
    let textY = y + 4;
    while (labels.some((other) => from < other.to && other.from < to && Math.abs(other.y - textY) < 13)) textY += 13;
    labels.push({ from, to, y: textY });
    const colour = row.rule.isOurs === true ? "#c2410c" : "#1d4ed8";
    return `<circle cx="${px(x)}" cy="${px(y)}" r="4" fill="${colour}"/><text x="${px(x + 8)}" y="${px(textY)}" fill="${colour}">${escape(row.rule.name)}</text>`;
  });
}

/** Where "none seen" stands: the power of ten below the smallest rate seen. */
function leastRate(rows: readonly Row[]): number {
  const seen = rows.map(({ figures }) => figures.mistakesPerDay).filter((value) => value > 0);
  return seen.length === 0 ? 0.001 : 10 ** (Math.ceil(Math.log10(Math.min(...seen))) - 2);
}
