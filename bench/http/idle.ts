/** What a peer takes while nothing is asked of it: memory, timers, processor. */
import { figure } from "../harness.ts";
import type { BenchOptions, Figure } from "../harness.ts";
import type { Children } from "./children.ts";
import { IDLE } from "./idle-cases.ts";
import type { IdleName } from "./idle-cases.ts";
import type { IdleMemory, IdleParameters, IdleTimers } from "./idle-peers.ts";

const BYTES_MAX = 400;
/** Below it a count of timers is that of the process's own. */
const NO_TIMER = 0.001;
const OURS: readonly IdleName[] = ["peers.run (its site's round trip learned)", "peers.acquire (nothing learned)"];
const SCALE: IdleName = "an empty object in a map";

type Idle = IdleMemory & IdleTimers;

export async function measureIdle({ quick }: BenchOptions, children: Children): Promise<readonly Figure[]> {
  const measured = new Map<IdleName, Idle>();
  for (const name of Object.keys(IDLE) as IdleName[]) {
    const common = { name, idleMs: quick ? 300 : 2000 };
    const memory = await children.result<IdleMemory>("idle-peers.ts", { ...common, count: "memory" } satisfies IdleParameters, ["--expose-gc"]);
    const timers = await children.result<IdleTimers>("idle-peers.ts", { ...common, count: "timers" } satisfies IdleParameters);
    measured.set(name, { ...memory, ...timers });
  }
  const scale = measured.get(SCALE) as Idle;
  const lines = (part: keyof Idle, title: string, unit: string, target: string, most: number): Figure[] =>
    [...measured].filter(([name]) => name !== SCALE).map(([name, { [part]: value }]) => {
      const isOurs = OURS.includes(name);
      return figure({
        figure: `${title}: ${name}`, value, unit, comparison: SCALE, other: scale[part], target: isOurs ? target : "none", met: !isOurs || value <= most,
      });
    });
  return [
    ...lines("bytesEach", "idle peer, memory", "bytes", `≤ ${BYTES_MAX} bytes`, BYTES_MAX),
    ...lines("timersEach", "idle peer, timers", "", "0", NO_TIMER),
    ...lines("cpuShare", "10 000 idle peers, share of a core", "", "none", Infinity),
  ];
}
