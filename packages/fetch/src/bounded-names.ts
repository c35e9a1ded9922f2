/** The name under which everything is counted that has none of its own. */
export const OTHER = "other";

/** Of the peers that are named, the share that is kept for those in trouble. */
const TROUBLED_SHARE = 0.25;

/**
 * BoundedNames says by which name a peer and a site are counted, so that a program that calls a million hosts has no million time
 * series. First come, first named; but a quarter of the names is kept for peers in trouble. A name is kept for good: a
 * counter that changed hands would lie.
 */
export class BoundedNames {
  readonly #peersMax: number;
  readonly #sitesMax: number;
  readonly #wellMax: number;
  /** The sites that are named, of each peer that is. */
  readonly #peers = new Map<string, Set<string>>();

  constructor(peersMax: number, sitesMax: number) {
    this.#peersMax = peersMax;
    this.#sitesMax = sitesMax;
    this.#wellMax = Math.max(1, peersMax - Math.ceil(peersMax * TROUBLED_SHARE));
  }

  peer(key: string, isTroubled: boolean): string {
    if (this.#peers.has(key)) return key;
    if (this.#peers.size >= (isTroubled ? this.#peersMax : this.#wellMax)) return OTHER;
    this.#peers.set(key, new Set());
    return key;
  }

  /** `peer`: as it is named. */
  site(peer: string, site: string): string {
    const named = this.#peers.get(peer);
    if (named === undefined) return OTHER;
    if (named.has(site)) return site;
    if (named.size >= this.#sitesMax) return OTHER;
    named.add(site);
    return site;
  }
}
