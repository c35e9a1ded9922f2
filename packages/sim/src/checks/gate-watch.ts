import type { Engine, PeerId } from "@holdfast/core";
import { require } from "../violation.ts";

/** What shows that a peer's cooldown is the same one, and how much was asked of it so far. */
interface Cooling {
  readonly until: number;
  readonly attempts: number;
  readonly asked: number;
}

/**
 * Sees to it that a peer in cooldown is left alone: a turn that begins and ends in one and the same cooldown of a peer asks
 * nothing new of it. (In a turn in which a cooldown begins or ends, either may have come first; such turns prove nothing.)
 */
export function watchGate(name: string, engine: Engine): void {
  const poll = engine.poll.bind(engine);
  const { backoff } = engine.state;
  engine.poll = (now, wallMs) => {
    if (backoff.size === 0) return poll(now, wallMs);
    const before = coolingPeers(engine);
    const turn = poll(now, wallMs);
    for (const [id, { until, attempts, asked }] of before) {
      if (until <= engine.state.now || backoff.retryAt(id) !== until || backoff.state(id)?.attempts !== attempts) continue;
      const peer = engine.state.peers.get(id);
      const more = (peer?.counts.calls ?? asked) - asked;
      require(more === 0, "gate", () => `${name} asks ${more} things of ${peer?.name}, which is in cooldown until ${until}, now ${engine.state.now}`);
    }
    return turn;
  };
}

function coolingPeers({ state: { backoff, peers } }: Engine): Map<PeerId, Cooling> {
  const cooling = new Map<PeerId, Cooling>();
  for (const [id, { attempts }] of backoff) {
    const asked = peers.get(id)?.counts.calls;
    if (asked !== undefined) cooling.set(id, { until: backoff.retryAt(id), attempts, asked });
  }
  return cooling;
}
