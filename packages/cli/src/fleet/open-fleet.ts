import { randomBytes } from "node:crypto";
import { RuntimeError } from "@holdfast/core";
import { openIdentity } from "@holdfast/host";
import { drainEarlierRun } from "../supervise/earlier-run.ts";
import { assignAddresses, checkAddressesFree } from "./addresses.ts";
import { takeFleetLock } from "./fleet-lock.ts";
import type { ProcessLock } from "@holdfast/host/process-lock";
import type { Fleet } from "./define-fleet.ts";
import type { FleetDirectory, FleetRecord, JobRecord, NodeRecord } from "./fleet-directory.ts";

/** Of what is spoken with a node. */
const NODE_VERSION = "1.0.0";

export interface OpenFleetOptions {
  readonly fleet: Fleet;
  /** The fleet file. */
  readonly file: string;
  readonly directory: FleetDirectory;
  /** The job that is about to run, if there is one. */
  readonly job: JobRecord | undefined;
  /** Keep the state of a job that has ended. */
  readonly keep: boolean;
  readonly say: (text: string) => void;
}

export interface OpenFleet {
  readonly lock: ProcessLock;
  readonly nodes: readonly NodeRecord[];
}

/**
 * Everything before the first process: the lock, what an earlier run left behind, identities, addresses, the record.
 * Throws FLEET_BUSY, FLEET_INVALID, ADDRESS_IN_USE, IDENTITY_INVALID; then nothing was started.
 */
export async function openFleet({ fleet, file, directory, job, keep, say }: OpenFleetOptions): Promise<OpenFleet> {
  directory.create();
  const lock = takeFleetLock(directory.path);
  try {
    const earlier = directory.readIfThere();
    if (earlier !== undefined && earlier.name !== fleet.name) {
      throw new RuntimeError("FLEET_INVALID", { data: directory.path, reason: `it holds the fleet ${earlier.name}` });
    }
    await drainEarlierRun(directory.domain(fleet.name), say);
    const cleared = job !== undefined && settleEarlierJob(fleet, directory, job, keep, say);
    const nodes = await describeNodes(fleet, directory, cleared ? undefined : earlier);
    directory.write({ format: 2, name: fleet.name, file, nodes });
    return { lock, nodes };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function describeNodes(fleet: Fleet, directory: FleetDirectory, earlier: FleetRecord | undefined): Promise<NodeRecord[]> {
  const addresses = await assignAddresses(fleet, earlier);
  await checkAddressesFree(addresses);
  const run = randomBytes(8).toString("hex");
  return [...fleet.nodes.values()].map(({ name, dataDir }) => {
    const path = directory.nodeDirectory(name, dataDir);
    const service = { domain: directory.domain(fleet.name), service: name, version: NODE_VERSION, build: run };
    return { name, id: openIdentity(path).peerId, directory: path, address: addresses.get(name) ?? null, service };
  });
}

/** A job that was interrupted goes on, one that has ended makes room. True if the fleet's state was removed. */
function settleEarlierJob(fleet: Fleet, directory: FleetDirectory, job: JobRecord, keep: boolean, say: (text: string) => void): boolean {
  const earlier = directory.readJob();
  if (earlier?.id === job.id && (!earlier.completed || keep)) {
    say(earlier.completed ? "the job had completed; its state was kept" : "going on with the job that was interrupted");
    return false;
  }
  if (earlier !== undefined && !earlier.completed) {
    throw new RuntimeError("FLEET_INVALID", {
      data: directory.path,
      reason: `it holds an unfinished job (${earlier.title}): finish it with the same arguments, remove the directory, or take another with --data`,
    });
  }
  if (earlier !== undefined) directory.clear(fleet);
  directory.writeJob(job);
  return earlier !== undefined;
}
