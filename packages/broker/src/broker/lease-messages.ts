import * as v from "valibot";
import { ServiceName } from "../protocol/messages.ts";

const Text = v.pipe(v.string(), v.maxLength(65_536));

/** A service that a lease keeps running: its definition stands in the lease, and nowhere on disk. */
export const LeasedService = v.object({
  service: ServiceName,
  version: v.pipe(v.string(), v.maxLength(64)),
  build: v.pipe(v.string(), v.maxLength(256)),
  /** Flags of node, then the program and its arguments. */
  argv: v.pipe(v.array(Text), v.minLength(1), v.maxLength(256)),
  cwd: Text,
  environment: v.record(v.string(), Text),
});
export type LeasedService = v.InferOutput<typeof LeasedService>;

/** Parameters of the verb `lease`. */
export const LeaseParams = v.object({ pid: v.number(), services: v.pipe(v.array(LeasedService), v.maxLength(1024)) });

/** What happens to a lease's services, told to its holder. */
export type LeaseEvent = Readonly<
  | { kind: "starting"; service: string; pid: number }
  | { kind: "ready"; service: string; pid: number; info: unknown; adopted: boolean }
  /** `output` is the end of what it wrote to stdout and stderr. */
  | { kind: "died"; service: string; pid: number; how: string; output: string; restartInMs: number }
  /** Its process holds the endpoint and does not answer: it is stopped, say. It is waited for. */
  | { kind: "silent"; service: string }
  /** Starting it again would not help. */
  | { kind: "unable"; service: string; code: string; message: string }
  /** The service's own words. */
  | { kind: "told"; service: string; message: unknown }
>;
