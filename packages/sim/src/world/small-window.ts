import type { Engine } from "@holdfast/core";

type Session = Parameters<Parameters<Engine["state"]["peers"]["forEach"]>[0]>[0]["session"];

/** The most envelopes that a peer grants. Source: docs/LIMITS.md. */
export const WINDOW_MAX = 256;

/** The engine's peers grant it at most so much, as if they were busy. To be called before it begins. */
export function limitWindows({ state: { peers } }: Engine, windowMax: number): void {
  if (windowMax >= WINDOW_MAX) return;
  const set = peers.set.bind(peers);
  peers.set = (id, peer) => {
    limit(peer.session, windowMax);
    return set(id, peer);
  };
}

function limit(session: Session, windowMax: number): void {
  let granted = Math.min(session.peerWindow, windowMax);
  Object.defineProperty(session, "peerWindow", {
    get: () => granted,
    set: (window: number) => { granted = Math.min(window, windowMax); },
  });
}
