import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BackoffTable } from "./failure/backoff-table.ts";
import { chainIdFromTargets } from "./deadlines/chain-id.ts";
import { PeerGovernor } from "./policy/peer-governor.ts";
import { PRODUCT_RTT, REFERENCE_RTT } from "./deadlines/rtt-options.ts";
import { RttTracker } from "./deadlines/rtt-tracker.ts";

const CHAINS = ["a", "b", "c"].map((target, at) => ({ chainId: chainIdFromTargets(target), hopIndex: at }));
const SITES = Array.from({ length: 12 }, (_, at) => `site ${at}`);
const PEERS = ["ann", "bob", "cid"];

/** Few places, so that sites are dropped and learned anew, and their rows go from one to another. */
test("handles: a tracker asked by handle answers as one that is asked by id, whoever is dropped meanwhile", () => {
  const step = fc.record({
    site: fc.nat(SITES.length - 1), chain: fc.option(fc.nat(CHAINS.length - 1), { nil: undefined }), hop: fc.nat(2),
    what: fc.constantFrom("observe", "observe", "observe", "estimate", "timeout", "late", "censored", "restore"), ns: fc.nat(2e9), afterNs: fc.nat(2e9),
  });
  for (const options of [PRODUCT_RTT, REFERENCE_RTT]) {
    fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const made = (): RttTracker<string> => new RttTracker<string>({ ...options, maxEntries: 8, maxPerSite: 2 });
      const [byId, byHandle] = [made(), made()];
      const handles = SITES.map((site) => byHandle.site(site));
      let now = 1;
      for (const { site, chain, hop, what, ns, afterNs } of steps) {
        const [id, handle] = [SITES[site]!, handles[site]!];
        const edge = chain === undefined ? undefined : { ...CHAINS[chain]!, hopIndex: hop };
        now += afterNs;
        if (what === "observe") {
          byId.observeRoundTrip(id, edge, ns, now);
          handle.observeRoundTrip(edge, ns, now);
        } else if (what === "timeout") {
          byId.observeTimeout(id, now, now);
          byHandle.observeTimeout(handle, now, now);
        } else if (what === "late") {
          byId.observeLateReply(id);
          byHandle.observeLateReply(handle);
        } else if (what === "censored") {
          byId.observeCensored(id, edge, ns);
          byHandle.observeCensored(handle, edge, ns);
        } else if (what === "restore") {
          const data = byId.captureSite(id);
          if (data !== undefined) for (const tracker of [byId, byHandle]) tracker.restoreSite(id, data);
        }
        assert.equal(handle.estimateBudget(edge, 1e9, { now }), byId.estimateBudget(id, edge, 1e9, { now }));
        assert.deepEqual(byHandle.captureSite(id), byId.captureSite(id));
      }
      assert.deepEqual(byHandle.trackedSites(), byId.trackedSites());
    }), { numRuns: 60 });
  }
});

test("handles: a gate answers as the governor does, whatever changes", () => {
  const step = fc.record({
    peer: fc.constantFrom(...PEERS),
    what: fc.constantFrom("block", "unblock", "list", "open", "fail", "works", "life", "advice", "range", "judge", "expire"), afterNs: fc.nat(1e8),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const governor = new PeerGovernor<string>();
    const backoff = new BackoffTable<string>();
    const gates = PEERS.map((peer) => governor.peer(peer, backoff));
    let now = 1;
    for (const { peer, what, afterNs } of steps) {
      now += afterNs;
      if (what === "block") governor.block(peer);
      else if (what === "unblock") governor.unblock(peer);
      else if (what === "list") governor.setAllowlist([peer, "dan"]);
      else if (what === "open") governor.setAllowlist(undefined);
      else if (what === "fail") backoff.recordFailure(peer, now);
      else if (what === "works") backoff.recordSuccess(peer, now);
      else if (what === "life") backoff.endFailureBackoff(peer);
      else if (what === "advice") backoff.recordRemoteAdvisory(peer, now, afterNs);
      else if (what === "range") governor.policy.add({ kind: "deny", on: "range", what: "10.0.0.0/8", until: now + 1e8, by: "api", reason: "", addedAt: now });
      else if (what === "judge") governor.policy.judge(peer, ["/ip4/10.1.1.1/tcp/1"]);
      else governor.policy.expire(now);
      for (const gate of gates) {
        assert.deepEqual(gate.checkInbound(), governor.checkInbound(gate.peer));
        assert.deepEqual(gate.checkOutbound(now), governor.checkOutbound(gate.peer, backoff, now));
      }
    }
  }), { numRuns: 200 });
});
