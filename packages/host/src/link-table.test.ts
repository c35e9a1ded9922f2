import assert from "node:assert/strict";
import { test } from "node:test";
import type { EngineEvent } from "@holdfast/core";
import { temporaryIdentity } from "./identity/identity.ts";
import { LinkTable } from "./link-table.ts";
import type { Transport } from "./links/link.ts";
import type { NodeLoop } from "./node-loop.ts";

test("link table: a peer that policy denies while it is dialled is dialled no further", async () => {
  const peer = temporaryIdentity().peerId;
  const events: EngineEvent[] = [];
  const loop = { handle: (event: EngineEvent) => void events.push(event) } as unknown as NodeLoop;
  let denied = false;
  const dialled: string[] = [];
  const transport = {
    handles: () => true,
    dial: (address: string) => {
      dialled.push(address);
      denied = true; // the operator blocks it, and nobody answers
      return Promise.reject(new Error("no answer"));
    },
  } as unknown as Transport;
  const links = new LinkTable([transport], loop, { address: () => true, peer: () => !denied });
  await links.dial(peer, ["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1"]);
  assert.deepEqual(dialled, ["/ip4/10.0.0.1/tcp/1"]);
  assert.deepEqual(events, [{ kind: "dial-failed", peer, reason: "/ip4/10.0.0.1/tcp/1: no answer", fault: "refused" }]);
});
