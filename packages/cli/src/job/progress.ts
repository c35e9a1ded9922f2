import type { PeerReport } from "@holdfast/host";

/** How far a job has come. */
export interface Progress {
  readonly what: string;
  readonly settled: number;
  readonly total: number;
  readonly inFlight: number;
  readonly elapsedMs: number;
}

/** What is shown live of one node. */
export interface NodeRow {
  readonly name: string;
  readonly pid: number | undefined;
  readonly state: string;
  readonly deaths: number;
  /** What the job's node thinks of it; undefined for itself. */
  readonly peer: PeerReport | undefined;
}

/** `[#####-----]  50 %  30 / 60 batches, 6 in flight, 2.3 s`; no bar at width 0. */
export function barText({ what, settled, total, inFlight, elapsedMs }: Progress, width: number): string {
  const share = total === 0 ? 0 : settled / total;
  const filled = Math.floor(share * Math.max(0, width));
  const bar = width <= 0 ? "" : `[${"#".repeat(filled)}${"-".repeat(width - filled)}] `;
  const of = total === 0 ? `no ${what} yet` : `${settled} / ${total} ${what}`;
  return `${bar}${String(Math.floor(share * 100)).padStart(3)} %  ${of}, ${inFlight} in flight, ${(elapsedMs / 1000).toFixed(1)} s`;
}

export function nodeLine({ name, pid, state, deaths, peer }: NodeRow): string {
  const process = `${name.padEnd(14)} ${String(pid ?? "-").padStart(7)}  ${state.padEnd(8)}  died ${deaths}`;
  if (peer === undefined) return process;
  const { linked, verdict, calls, inFlight, failures, phi } = peer;
  return `${process}  ${linked ? "linked  " : "no link "} ${verdict.padEnd(7)} φ ${phiText(phi).padStart(5)}  ${calls} calls, ${inFlight} in flight, ${failures} failures`;
}

/** Above any threshold the number says nothing more, and it may be infinite. */
export function phiText(phi: number): string {
  return phi > 99 ? "> 99" : phi.toFixed(2);
}

export function msText(ms: number | undefined): string {
  if (ms === undefined) return "-";
  return ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(ms < 10 ? 2 : 1)} ms`;
}
