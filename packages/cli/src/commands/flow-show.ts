import { compileFlows, programToMermaid, programToText, RuntimeError, showPasses } from "@holdfast/core";
import { FleetDirectory } from "../fleet/fleet-directory.ts";
import { loadFleet } from "../fleet/load-fleet.ts";
import type { AnyFlow } from "@holdfast/core";

export interface FlowShowOptions {
  readonly data?: string;
  readonly mermaid?: boolean;
  readonly passes?: boolean;
}

/** The program as it was written and as it runs, or after every pass of the compiler. */
export async function showFlow(name: string, file: string | undefined, { data, mermaid, passes }: FlowShowOptions): Promise<void> {
  const fleet = await loadFleet(file ?? FleetDirectory.find(data).read().file);
  const flows = reachable([...fleet.nodes.values()].flatMap((node) => node.flows));
  const flow = flows.filter((one) => one.name === name).sort((a, b) => b.version - a.version)[0];
  if (flow === undefined) throw new RuntimeError("NOT_FOUND", { flow: name, flows: [...new Set(flows.map((one) => one.name))].join(" ") });
  if (mermaid === true) return console.log(`%% as written\n${programToMermaid(flow.draft().program)}%% as it runs\n${compiledMermaid(flow)}`);
  const shown = showPasses(flow);
  console.log(`as written\n\n${shown[0]?.before ?? programToText(flow.draft().program)}`);
  for (const [at, pass] of shown.entries()) {
    const last = shown[at + 1]?.program !== pass.program;
    if (passes === true) console.log(`after ${pass.pass}${pass.before === pass.after && !last ? ": nothing changed\n" : `\n\n${pass.after}`}`);
    else if (last) console.log(`${pass.program === flow.name ? "as it runs" : `${pass.program}, made up for a map`}\n\n${pass.after}`);
  }
}

/** The flow's own program and those made up for its maps. */
function compiledMermaid(flow: AnyFlow): string {
  const { programs, flows } = compileFlows([flow]);
  const hash = flows.get(flow.name);
  const own = [...programs].find(([known]) => known === hash)?.[1];
  const children = [...programs].filter(([known]) => own?.children.includes(known) === true);
  return [own, ...children.map(([, child]) => child)].filter((program) => program !== undefined)
    .map((program) => `%% ${program.name}\n${programToMermaid(program)}`).join("");
}

function reachable(flows: readonly AnyFlow[]): AnyFlow[] {
  const found = new Set<AnyFlow>(flows);
  for (const flow of found) for (const used of flow.draft().uses.flows.values()) found.add(used);
  return [...found];
}
