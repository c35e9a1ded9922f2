/** What happens to the servers. Times are whole ns from the start of a run. */
export interface Scenario {
  /** Also the name of its files. */
  readonly name: string;
  readonly title: string;
  /** What happens, with every number. */
  readonly says: string;
  readonly servers: number;
  /** Requests that one server works at, at a time. */
  readonly slots: number;
  readonly requestsPerS: number;
  /** Each with a balancer of its own; the requests go to them in turn. Left out: 1. */
  readonly clients?: number;
  readonly lastsNs: number;
  /** Runs at an effort of 1. */
  readonly runs: number;
  /** The server to which it happens, and when; what it gets is measured from `from` to `to`. */
  readonly watched: number;
  readonly from: number;
  readonly to: number;
  /** While it happens: by how much longer the watched server's work takes, what is added to each answer, and how many fail. */
  readonly factor?: number;
  readonly addedNs?: number;
  readonly failShare?: number;
  /** It is no member before `from`. */
  readonly joins?: boolean;
}

const S = 1e9;
const SERVERS = { servers: 11, slots: 8, requestsPerS: 1000, watched: 3 } as const;

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "a-slow-for-30s", title: "one of eleven answers 2 s later, for 30 s", ...SERVERS, lastsNs: 60 * S, runs: 3, from: 15 * S, to: 45 * S, addedNs: 2 * S,
    says: "Eleven servers, 1000 requests a second, 60 s. From 15 s to 45 s every answer of one server comes 2 s later; it works no slower. Linkerd published of such a run, with a timeout of 1 s: round robin 95 %, least loaded 99 %, peak-EWMA 99.9 %.",
  },
  {
    name: "b-fails-half", title: "one of eleven fails half of its requests", ...SERVERS, lastsNs: 30 * S, runs: 8, from: 5 * S, to: 30 * S, failShare: 0.5,
    says: "Eleven servers, 1000 requests a second, 30 s. From 5 s on one server refuses half of its requests, at random and at once. Nobody retries.",
  },
  {
    name: "c-joins", title: "a server joins, cold", servers: 11, slots: 8, requestsPerS: 1000, watched: 10, lastsNs: 30 * S, runs: 5, from: 10 * S, to: 15 * S, factor: 3, joins: true,
    says: "Ten servers, 1000 requests a second, 30 s. At 10 s an eleventh joins; in its first 5 s its work takes three times as long.",
  },
  {
    name: "d-one-of-three", title: "one of three works at a third of the pace", servers: 3, slots: 4, requestsPerS: 500, watched: 1, lastsNs: 40 * S, runs: 6, from: 0, to: 40 * S, factor: 3,
    says: "Three servers of four slots, 500 requests a second, 40 s. The work of one takes three times as long, all the time: alone it could serve a little over a hundred a second, and its third of the load is 167.",
  },
  {
    name: "e-slow-for-many", title: "twenty clients, one of eleven answers 2 s later", ...SERVERS, clients: 20, lastsNs: 60 * S, runs: 1, from: 15 * S, to: 45 * S, addedNs: 2 * S,
    says: "As (a), but the requests come from twenty clients, each of which has a twentieth of them and learns from these alone: five a second of each server.",
  },
  {
    name: "f-fails-for-many", title: "twenty clients, one of eleven fails half", ...SERVERS, clients: 20, lastsNs: 30 * S, runs: 2, from: 5 * S, to: 30 * S, failShare: 0.5,
    says: "As (b), but the requests come from twenty clients, each of which has a twentieth of them and learns from these alone.",
  },
];
