import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { RuntimeError } from "@holdfast/core";
import { checkFlows } from "./check-flows.ts";
import { Fleet } from "./define-fleet.ts";

/**
 * Imports a fleet file and checks all of it. Throws FLEET_INVALID or FLOW_INVALID, naming the file; a file that does not
 * load at all is told with the reason and, where there is one, the place.
 */
export async function loadFleet(file: string): Promise<Fleet> {
  const path = resolve(file);
  try {
    const exported = ((await import(pathToFileURL(path).href)) as { default?: unknown }).default;
    if (!(exported instanceof Fleet)) throw new Error("its default export is not made with defineFleet()");
    checkFlows(exported);
    return exported;
  } catch (error) {
    if (error instanceof RuntimeError && (error.code === "FLEET_INVALID" || error.code === "FLOW_INVALID")) {
      throw new RuntimeError(error.code, { file, ...error.details }, { cause: error });
    }
    throw new RuntimeError("FLEET_INVALID", { file, reason: reasonOf(error, path) }, { cause: error });
  }
}

/** The message, in one line, with the first place in the fleet file that the stack knows. */
function reasonOf(error: unknown, path: string): string {
  if (!(error instanceof Error)) return String(error);
  const place = new RegExp(`${path.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}:(\\d+)`).exec(error.stack ?? "")?.[1];
  const text = `${error.name}: ${error.message}`.replaceAll(/\s*\n\s*/g, " ");
  return place === undefined ? text : `${text} (line ${place})`;
}
