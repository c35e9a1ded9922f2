import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { openPeers } from "./mod.ts";
import type { OutcomeKind, Permit } from "./mod.ts";
import { OUTCOME_KINDS } from "./testing/outcome-kinds.ts";
import { VirtualClock } from "./virtual-clock.ts";

const KEY = "https://api.example.com";
const ADVICE_TOTAL_MS = 300_000;

const step = fc.oneof(
  fc.record({ do: fc.constant("acquire" as const) }),
  fc.record({ do: fc.constant("settle" as const), at: fc.nat(20), kind: fc.constantFrom(...OUTCOME_KINDS), advice: fc.option(fc.double({ min: -10, max: 1e15, noNaN: false })) }),
  fc.record({ do: fc.constant("dispose" as const), at: fc.nat(20) }),
  fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 100_000 }) }),
);

/** Whatever happens in whatever order: no peer is lost for ever, every place comes back, and no figure leaves its bounds. */
test("peers: no sequence of outcomes wedges a peer (K3)", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), fc.integer(), async (steps, seed) => {
      const clock = new VirtualClock({ seed });
      const peers = openPeers({ clock });
      const permits: Permit[] = [];
      for (const one of steps) {
        if (one.do === "pass") await clock.advance(one.ms);
        else if (one.do === "acquire") {
          try {
            permits.push(peers.acquire(KEY));
          } catch (error) {
            const { retryAfterMs } = error as { retryAfterMs: number };
            assert.ok(retryAfterMs > 0 && retryAfterMs <= ADVICE_TOTAL_MS, `${retryAfterMs} ms`);
          }
        } else {
          const [permit] = permits.splice(one.at % Math.max(1, permits.length), 1);
          if (one.do === "dispose") permit?.[Symbol.dispose]();
          else if (one.kind === "works") permit?.success();
          else permit?.failure(one.kind as Exclude<OutcomeKind, "works">, one.advice ?? undefined);
        }
        assert.equal(peers.explain(KEY).inFlight, permits.length);
      }
      // Those that nobody settles lose their places by themselves.
      await clock.advance(ADVICE_TOTAL_MS);
      const permit = peers.acquire(KEY);
      permit.success();
      for (const left of permits) left[Symbol.dispose]();
      assert.equal(peers.explain(KEY).inFlight, 0);
      assert.equal(peers.explain(KEY).isDown, false);
    }),
    { numRuns: 300 },
  );
});
