import { nodeName } from "../workload/flows.ts";
import type { Journey, Moment, Story } from "./story.ts";

const MARGIN = 90;
const LANE = 250;
const ROW = 15;
const HEAD = 60;
/** The picture shows the end of a longer story. */
const ROWS_MAX = 800;
const TEXT_MAX = 40;
/** Left out: they say nothing but that somebody is there. */
const PULSE = /^heartbeat/;
const TROUBLE = /killed|no power|fails|paused|overtaken|reset|-down|lost|refused/;

export interface Caption {
  readonly nodes: number;
  readonly title: string;
  readonly violation: string;
}

interface Row {
  readonly atNs: number;
  readonly draw: (row: number) => string;
}

/**
 * Draws a space-time diagram as SVG: a lane for each node, time downwards (a row for each thing that happened, not to
 * scale: the time stands at the left), an arrow for each frame, broken off where it was lost. Heartbeats are left out.
 *
 * Source of the form: Lamport 1978, "Time, clocks, and the ordering of events in a distributed system".
 */
export function drawSpaceTime({ moments, journeys }: Story, { nodes, title, violation }: Caption): string {
  const rows = [...moments.map(rowOf), ...journeys.filter(({ text }) => !PULSE.test(text)).flatMap(rowsOf)].sort((a, b) => a.atNs - b.atNs);
  const shown = rows.slice(-ROWS_MAX);
  const left = rows.length - shown.length;
  const [width, height] = [MARGIN + nodes * LANE, HEAD + (shown.length + 3) * ROW];
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="monospace" font-size="10">`,
    `<title>${escape(title)}</title>`,
    `<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#46a"/></marker></defs>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    `<text x="8" y="16" font-size="12">${escape(title)}${left > 0 ? `; ${left} earlier rows are left out` : ""}</text>`,
    ...Array.from({ length: nodes }, (_, node) => drawLane(node, height)),
    ...shown.map(({ atNs, draw }, row) => `<text x="4" y="${y(row) + 3}" fill="#888">${(atNs / 1e6).toFixed(3)} ms</text>${draw(row)}`),
    `<text x="8" y="${height - ROW}" fill="#b00" font-size="12">${escape(violation)}</text>`,
    "</svg>",
  ].join("\n")}\n`;
}

function x(node: number): number {
  return MARGIN + node * LANE + 30;
}

function y(row: number): number {
  return HEAD + row * ROW;
}

function drawLane(node: number, height: number): string {
  return `<text x="${x(node)}" y="${HEAD - 22}" text-anchor="middle" font-weight="bold">${nodeName(node)}</text><path d="M${x(node)} ${HEAD - 16}V${height - 2 * ROW}" stroke="#ccc"/>`;
}

function rowOf({ atNs, node, text }: Moment): Row {
  const short = text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX - 1)}…` : text;
  const draw = (row: number): string => `<g fill="${TROUBLE.test(text) ? "#b00" : "#222"}"><circle cx="${x(node)}" cy="${y(row)}" r="3"/><text x="${x(node) + 8}" y="${y(row) + 3}">${escape(short)}</text></g>`;
  return { atNs, draw };
}

/** Where a frame left, and each time it came in. */
function rowsOf({ from, to, sentNs, arrivedNs, text }: Journey): Row[] {
  const toRight = to > from;
  let sentAt = 0;
  const leave = (row: number): string => {
    sentAt = row;
    const label = `<text x="${x(from) + (toRight ? 8 : -8)}" y="${y(row) - 3}" text-anchor="${toRight ? "start" : "end"}" fill="#46a">${escape(text)}</text>`;
    if (arrivedNs.length > 0) return label;
    const end = x(from) + (toRight ? 70 : -70);
    return `${label}<path d="M${x(from)} ${y(row)}L${end} ${y(row + 1)}" stroke="#46a" stroke-dasharray="3 2"/><text x="${end}" y="${y(row + 1) + 4}" fill="#b00">×</text>`;
  };
  const arrive = (row: number): string => `<path d="M${x(from)} ${y(sentAt)}L${x(to)} ${y(row)}" stroke="#46a" marker-end="url(#tip)"/>`;
  return [{ atNs: sentNs, draw: leave }, ...arrivedNs.map((atNs) => ({ atNs, draw: arrive }))];
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
