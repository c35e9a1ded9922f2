import * as v from "valibot";
import { RuntimeError } from "@holdfast/core/peer";
import { ServiceName } from "../protocol/messages.ts";

const Task = v.object({
  root: v.string(), domain: v.string(),
  service: ServiceName, version: v.string(), build: v.string(), secret: v.string(),
  /** Descriptor of the listening socket. */
  listenFd: v.number(),
  channel: v.variant("kind", [v.object({ kind: v.literal("public") }), v.object({ kind: v.literal("raw"), fd: v.number() })]),
});

/** What a broker tells a backend of itself, in its environment. */
export type BackendTask = v.InferOutput<typeof Task>;

const VARIABLE = "HOLDFAST_BACKEND";

export function taskEnvironment(task: BackendTask): Record<string, string> {
  return { [VARIABLE]: JSON.stringify(task) };
}

/** Undefined if no broker started this process. Taken once: it is not for this process's children. */
export function takeTask(): BackendTask | undefined {
  const text = process.env[VARIABLE];
  if (text === undefined) return undefined;
  delete process.env[VARIABLE];
  const checked = v.safeParse(v.pipe(v.string(), v.parseJson(), Task), text);
  if (checked.success) return checked.output;
  throw new RuntimeError("OPTION_INVALID", { [VARIABLE]: v.getDotPath(checked.issues[0]) ?? "", reason: checked.issues[0].message });
}
