import { escape, label, LogAxis, px } from "../../report/svg.ts";
import type { Results } from "../experiment.ts";
import { RULES } from "../rules/rules.ts";
import type { Trace } from "../traces/trace.ts";

const WIDTH = 900;
const HEIGHT = 460;
const LEFT = 60;
const RIGHT = 110;
const TOP = 40;
const BOTTOM = 40;
const COLOURS = ["#94a3b8", "#0f766e", "#7c3aed", "#1d4ed8", "#a16207", "#64748b", "#c2410c"] as const;

/** The first client's round trips as dots, the true percentile as a dashed line, and each rule's deadlines as a line. */
export function plot(trace: Trace, { curves, trips }: Results): string {
  const begin = trips[0]?.[0] ?? 0;
  const end = trips.at(-1)?.[0] ?? 1;
  const ms = [...trips.flatMap(([, tripNs, p999Ns]) => [tripNs / 1e6, p999Ns / 1e6]), ...curves.flatMap((curve) => curve.map(([, ns]) => ns / 1e6))];
  const y = new LogAxis([smallest(ms), largest(ms)], HEIGHT - BOTTOM, TOP);
  const x = (at: number) => LEFT + ((at - begin) / (end - begin)) * (WIDTH - LEFT - RIGHT);
  const line = (points: readonly (readonly [number, number])[]) => points.map(([at, ns]) => `${px(x(at))},${px(y.at(ns / 1e6))}`).join(" ");
  const lengthS = (end - begin) / 1e9;
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="22" font-size="15">${escape(trace.title)}</text>`,
    ...y.ticks.map((tick) => `<path d="M${LEFT} ${px(y.at(tick))}H${WIDTH - RIGHT}" stroke="#ddd"/><text x="${LEFT - 6}" y="${px(y.at(tick) + 4)}" text-anchor="end">${label(tick)}</text>`),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 12}" text-anchor="middle">${lengthS.toFixed(0)} s of one client's requests</text>`,
    `<text transform="translate(14 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">ms</text>`,
    `<path d="${trips.map(([at, tripNs]) => `M${px(x(at))} ${px(y.at(tripNs / 1e6))}h1.5`).join("")}" stroke="#bbb" stroke-width="1.5"/>`,
    `<polyline points="${line(trips.map(([at, , p999Ns]) => [at, p999Ns] as const))}" fill="none" stroke="#000" stroke-dasharray="5 3"/>`,
    ...RULES.map((rule, place) => `<polyline points="${line(curves[place] ?? [])}" fill="none" stroke="${COLOURS[place] ?? "#000"}" stroke-width="${rule.isOurs === true ? 2 : 1}"/>`),
    ...["true p99.9", ...RULES.map(({ name }) => name)].map((name, place) => legend(name, place, place === 0 ? "#000" : (COLOURS[place - 1] ?? "#000"))),
    "</svg>",
  ];
  return `${lines.join("\n")}\n`;
}

function legend(name: string, place: number, colour: string): string {
  const y = TOP + 14 + 18 * place;
  return `<path d="M${WIDTH - RIGHT + 8} ${y - 4}h16" stroke="${colour}" stroke-width="2"/><text x="${WIDTH - RIGHT + 30}" y="${y}" fill="${colour}">${escape(name)}</text>`;
}

function smallest(values: readonly number[]): number {
  return values.reduce((least, value) => Math.min(least, value), Infinity);
}

function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}
