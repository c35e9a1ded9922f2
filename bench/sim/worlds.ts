/**
 * How fast simulated fleets run: the worlds of the first seeds with all their faults and checkers, on one thread. An event is
 * anything that takes simulated time: a frame that comes in, a turn, a timer, a write to the disk.
 */
import { Heap } from "@holdfast/core";
import { runSeed } from "@holdfast/sim";
import { type BenchOptions, type Figure, figure, interleave, median, rounds } from "../harness.ts";

const TARGET_EVENTS_PER_S = 50_000;
const TARGET_TIMES_REAL = 500;

interface Course {
  readonly events: number;
  readonly virtualS: number;
  readonly seconds: number;
}

export async function measureWorlds(options: BenchOptions): Promise<Figure[]> {
  const seeds = options.quick ? 30 : 150;
  const courses: Course[] = [];
  const { nodes, heap } = await interleave(rounds(options), {
    nodes: () => {
      const course = runWorlds(seeds);
      courses.push(course);
      return course.events / course.seconds;
    },
    heap: () => emptyEventsPerSecond(courses.at(-1)?.events ?? 100_000),
  });
  const timesReal = median(courses.slice(1).map(({ virtualS, seconds }) => virtualS / seconds));
  return [
    figure({
      figure: "simulated events, per core", value: median(nodes), unit: "/s", comparison: "as many events that do nothing, through a heap", other: median(heap),
      target: "≥ 50,000/s", met: median(nodes) >= TARGET_EVENTS_PER_S,
    }),
    figure({
      figure: "simulated time under load, per core", value: timesReal, unit: "× real time", comparison: "a real fleet", other: 1,
      target: "≥ 500 ×", met: timesReal >= TARGET_TIMES_REAL,
    }),
  ];
}

function runWorlds(seeds: number): Course {
  const startedAt = performance.now();
  let [events, virtualNs] = [0, 0];
  for (let seed = 1; seed <= seeds; seed++) {
    const run = runSeed(seed);
    if (run.violation !== undefined) throw run.violation;
    events += run.events;
    virtualNs += run.virtualNs;
  }
  return { events, virtualS: virtualNs / 1e9, seconds: (performance.now() - startedAt) / 1000 };
}

function emptyEventsPerSecond(count: number): number {
  const startedAt = performance.now();
  const heap = new Heap<{ at: number; run: () => void }>((a, b) => a.at - b.at);
  let done = 0;
  for (let at = 0; at < 1000; at++) heap.push({ at: (at * 7919) % 1000, run: () => done++ });
  while (done < count) {
    const next = heap.pop()!;
    next.run();
    heap.push({ at: next.at + ((done * 7919) % 1000), run: () => done++ });
  }
  return count / ((performance.now() - startedAt) / 1000);
}
