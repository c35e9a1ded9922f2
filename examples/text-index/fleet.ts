/** One coordinator, three workers, and the job: index a folder. `holdfast up examples/text-index/fleet.ts [FOLDER]` */
import { defineFleet } from "holdfast";
import { buildIndex, indexBatch, search } from "./flows.ts";
import { job } from "./job.ts";

const workers = ["worker-1", "worker-2", "worker-3"];
/** The index of a large folder fits: what a batch leaves behind is collected instead of kept. */
const heapMb = 64;

export default defineFleet({
  name: "text-index",
  nodes: {
    coordinator: { peers: workers, heapMb },
    "worker-1": { peers: ["coordinator"], heapMb },
    "worker-2": { peers: ["coordinator"], heapMb },
    "worker-3": { peers: ["coordinator"], heapMb },
  },
  groups: { workers },
  flows: [buildIndex, indexBatch, search],
  job,
});
