/** One coordinator, three workers, and the job: index a folder. `holdfast up examples/text-index/fleet.ts [FOLDER]` */
import { defineFleet } from "holdfast";
import { buildIndex, indexBatch, search } from "./flows.ts";
import { job } from "./job.ts";

const workers = ["worker-1", "worker-2", "worker-3"];

export default defineFleet({
  name: "text-index",
  nodes: {
    coordinator: { peers: workers },
    "worker-1": { peers: ["coordinator"] },
    "worker-2": { peers: ["coordinator"] },
    "worker-3": { peers: ["coordinator"] },
  },
  groups: { workers },
  flows: [buildIndex, indexBatch, search],
  job,
});
