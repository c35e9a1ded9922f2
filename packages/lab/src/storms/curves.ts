import { CLIENTS, RATE, SECONDS, type StormFigures } from "./model.ts";

const WIDTH = 760;
const HEIGHT = 420;
const LEFT = 60;
const RIGHT = 140;
const TOP = 40;
const BOTTOM = 45;
const COLOURS = ["#64748b", "#b91c1c", "#1d4ed8", "#0891b2", "#7c3aed", "#15803d", "#a16207", "#be185d", "#c2410c"];

/** Arrivals at the server over time, a line a policy. */
export function curves(title: string, rows: readonly StormFigures[]): string {
  const most = Math.max(CLIENTS * RATE, ...rows.flatMap(({ arrivals }) => arrivals));
  const step = 10 ** Math.floor(Math.log10(most));
  const top = Math.ceil(most / step) * step;
  const x = (second: number) => LEFT + (second / SECONDS) * (WIDTH - LEFT - RIGHT);
  const y = (count: number) => HEIGHT - BOTTOM - (count / top) * (HEIGHT - TOP - BOTTOM);
  const px = (value: number) => value.toFixed(1);
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="22" font-size="15">${title}: arrivals a second</text>`,
  ];
  for (let second = 0; second <= SECONDS; second += 30) {
    lines.push(`<path d="M${px(x(second))} ${TOP}V${HEIGHT - BOTTOM}" stroke="#ddd"/><text x="${px(x(second))}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${second} s</text>`);
  }
  for (let count = 0; count <= top; count += step) {
    lines.push(`<path d="M${LEFT} ${px(y(count))}H${WIDTH - RIGHT}" stroke="#ddd"/><text x="${LEFT - 6}" y="${px(y(count) + 4)}" text-anchor="end">${count}</text>`);
  }
  rows.forEach(({ policy, arrivals }, at) => {
    const colour = COLOURS[at % COLOURS.length];
    const points = arrivals.map((count, second) => `${px(x(second + 0.5))},${px(y(count))}`).join(" ");
    lines.push(`<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="${policy === "ours" ? 2.5 : 1}"/>`);
    lines.push(`<text x="${WIDTH - RIGHT + 10}" y="${TOP + 12 + 18 * at}" fill="${colour}">${policy}</text>`);
  });
  return `${[...lines, "</svg>"].join("\n")}\n`;
}
