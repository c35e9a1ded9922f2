/** The smoke test in a page. Reports to the server that it came from: "ok", or what is not as promised. */
import { openPeers, OptionError } from "@holdfast/fetch";
import { check, checkCalls, errorOf } from "./calls.ts";

const { origin } = new URL(import.meta.url);

async function checkAll(): Promise<string> {
  try {
    await checkCalls(origin);
    check(!("undici" in openPeers()), "a page loads the build for browsers");
    const refusal = await errorOf((async () => openPeers({ state: "peers.db" }))());
    check(refusal instanceof OptionError && refusal.code === "OPTION_INVALID", "which keeps no state, and says so");
    return "ok";
  } catch (error) {
    return error instanceof Error ? `${error.stack ?? error.message}` : String(error);
  }
}

await fetch(`${origin}/report`, { method: "POST", body: await checkAll() });
