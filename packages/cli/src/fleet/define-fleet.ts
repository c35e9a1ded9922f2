import { Flow, parsePolicyScope, POLICY_REASON_BYTES_MAX, RuntimeError } from "@holdfast/core";
import * as v from "valibot";
import type { AnyFlow } from "@holdfast/core";
import { engineOptionsFromMs, type EngineTimings, type PolicyItem } from "@holdfast/host";
import type { FleetJob } from "../job/fleet-job.ts";

/** A node elsewhere, known by its id (`holdfast id` prints it). */
export interface RemotePeer {
  readonly id: string;
  /** Multiaddrs at which it may be dialled; none: it dials us. */
  readonly addresses: readonly string[];
}

export interface FleetNode {
  /** Multiaddr. Default: loopback, a free port that the fleet keeps. Null: the node only dials. */
  readonly listen?: string | null;
  /** Names of the fleet's nodes that it talks to, and others by name and id. Default: all of the fleet's. */
  readonly peers?: readonly string[] | Readonly<Record<string, RemotePeer>> | readonly (string | (RemotePeer & { readonly name: string }))[];
  /** Default: a directory of the node's name in the fleet's. */
  readonly dataDir?: string;
  /** In place of the fleet's. */
  readonly policy?: FleetPolicy;
  /** Besides the fleet's, and before them. */
  readonly engine?: Partial<EngineTimings>;
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  readonly flows?: readonly AnyFlow[];
  /** Bound of the process' JavaScript heap in MiB, 32 or more; what outgrows it dies and is started again. Default: Node.js' own. */
  readonly heapMb?: number;
}

/**
 * Names of nodes, peer ids, ranges of addresses (`10.0.0.0/8`) or protocols (`/ws`). `allow: null` (the default) admits everybody
 * who is not blocked; a block beats everything else.
 */
export interface FleetPolicy {
  readonly block?: readonly (string | PolicyItem)[];
  readonly allow?: readonly (string | PolicyItem)[] | null;
}

export interface FleetDefinition {
  readonly name: string;
  readonly nodes: Readonly<Record<string, FleetNode>>;
  /** Names of nodes, by group, for `select`. */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  readonly policy?: FleetPolicy;
  /** How every node judges its peers, and how long things take: docs/PEERS.md. */
  readonly engine?: Partial<EngineTimings>;
  readonly flows: readonly AnyFlow[];
  /** What `holdfast up` does with the fleet. Without one, the fleet is up until it is told to stop. */
  readonly job?: FleetJob;
}

/** A node of a fleet, with everything that was left out filled in. */
export interface NodePlan {
  readonly name: string;
  readonly listen: string | null | undefined;
  readonly dataDir: string | undefined;
  /** The fleet's own among its peers. */
  readonly localPeers: readonly string[];
  readonly remotePeers: Readonly<Record<string, RemotePeer>>;
  /** Only of peers that the node has. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
  readonly policy: FleetPolicy;
  readonly engine: Partial<EngineTimings>;
  readonly flows: readonly AnyFlow[];
  readonly heapMb: number | undefined;
}

/** A checked fleet: what a fleet file exports by default. */
export class Fleet {
  readonly name: string;
  readonly nodes: ReadonlyMap<string, NodePlan>;
  readonly job: FleetJob | undefined;

  constructor(name: string, nodes: ReadonlyMap<string, NodePlan>, job: FleetJob | undefined) {
    this.name = name;
    this.nodes = nodes;
    this.job = job;
  }

  /** Throws NOT_FOUND. */
  node(name: string): NodePlan {
    const plan = this.nodes.get(name);
    if (plan === undefined) throw new RuntimeError("NOT_FOUND", { node: name, fleet: this.name, nodes: [...this.nodes.keys()].join(" ") });
    return plan;
  }
}

/** Names become directories, and must not be taken for options. */
const Name = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/, "a name is 1–64 letters, digits, \"_\", \"-\" or \".\""));
const Names = v.array(v.string());
const Remote = v.strictObject({ id: v.string(), addresses: Names });
const Named = v.strictObject({ name: Name, ...Remote.entries });
const Flows = v.array(v.instance(Flow, "a flow is made with flow()"));
const Groups = v.record(v.string(), Names);
const Items = v.array(v.union([v.string(), v.strictObject({ who: v.string(), reason: v.optional(v.pipe(v.string(), v.maxBytes(POLICY_REASON_BYTES_MAX))) })]));
const Policy = v.strictObject({ block: v.optional(Items), allow: v.optional(v.nullable(Items)) });
const Listen = v.pipe(v.string(), v.regex(/^\/(?:ip4|ip6|dns|dns4|dns6|unix)\//, "an address is a multiaddr such as /ip4/127.0.0.1/tcp/4001"));
const Node = v.strictObject({
  listen: v.optional(v.nullable(Listen)),
  peers: v.optional(v.union([v.array(v.union([v.string(), Named])), v.record(Name, Remote)])),
  dataDir: v.optional(v.string()),
  policy: v.optional(Policy),
  engine: v.optional(v.looseObject({})),
  groups: v.optional(Groups),
  flows: v.optional(Flows),
  heapMb: v.optional(v.pipe(v.number(), v.integer(), v.minValue(32))),
});
const Share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const Chaos = v.strictObject({
  at: v.array(Share), kill: v.string(), stop: v.string(), stopMs: v.pipe(v.number(), v.minValue(0)), killLast: v.string(),
  broker: v.optional(v.boolean()),
});
const Job = v.looseObject({
  node: v.string(), flow: v.instance(Flow), progress: v.string(), prepare: v.function(), report: v.function(), chaos: v.optional(Chaos),
});
const Definition = v.strictObject({
  name: Name,
  nodes: v.record(Name, Node),
  groups: v.optional(Groups),
  policy: v.optional(Policy),
  engine: v.optional(v.looseObject({})),
  flows: Flows,
  job: v.optional(Job),
});

/**
 * Describes a fleet: processes on this machine that import the same file. Throws FLEET_INVALID, naming the node; flows
 * are compiled later, when the file is loaded.
 */
export function defineFleet(given: FleetDefinition): Fleet {
  const checked = v.safeParse(Definition, given);
  if (!checked.success) {
    const [issue] = checked.issues;
    throw new RuntimeError("FLEET_INVALID", { at: v.getDotPath(issue) ?? "fleet", reason: issue.message });
  }
  const names = Object.keys(given.nodes);
  if (names.length === 0) throw new RuntimeError("FLEET_INVALID", { at: "nodes", reason: "a fleet has at least one node" });
  const plans = new Map(names.map((name) => [name, planNode(given, name)]));
  checkGroups(given, plans);
  checkPolicies(given, plans);
  checkAddresses(plans);
  checkEngines(plans);
  checkJob(given, names);
  return new Fleet(given.name, plans, given.job);
}

function planNode(fleet: FleetDefinition, name: string): NodePlan {
  const node = fleet.nodes[name] as FleetNode;
  const localPeers: string[] = [];
  const remotePeers: Record<string, RemotePeer> = {};
  const given = node.peers ?? Object.keys(fleet.nodes).filter((other) => other !== name);
  const peers = Array.isArray(given) ? given : Object.entries(given).map(([peer, remote]) => ({ name: peer, ...remote }));
  for (const peer of peers as (string | (RemotePeer & { name: string }))[]) {
    const peerName = typeof peer === "string" ? peer : peer.name;
    const refuse = (reason: string) => new RuntimeError("FLEET_INVALID", { node: name, peer: peerName, reason });
    if (peerName === name) throw refuse("a node is not its own peer");
    if (localPeers.includes(peerName) || Object.hasOwn(remotePeers, peerName)) throw refuse("it is listed twice");
    if (typeof peer !== "string") {
      if (Object.hasOwn(fleet.nodes, peerName)) throw refuse("it has an id, but the fleet has a node of this name");
      remotePeers[peerName] = { id: peer.id, addresses: peer.addresses };
    } else if (Object.hasOwn(fleet.nodes, peer)) localPeers.push(peer);
    else throw refuse("the fleet has no node of this name; one elsewhere needs id and addresses");
  }
  const isPeer = (other: string) => localPeers.includes(other) || Object.hasOwn(remotePeers, other);
  const groups = Object.entries({ ...fleet.groups, ...node.groups }).map(([group, members]) => [group, members.filter(isPeer)]);
  return {
    name, listen: node.listen, dataDir: node.dataDir, localPeers, remotePeers,
    groups: Object.fromEntries(groups) as Record<string, readonly string[]>,
    policy: node.policy ?? fleet.policy ?? {},
    engine: { ...fleet.engine, ...node.engine },
    flows: node.flows ?? fleet.flows,
    heapMb: node.heapMb,
  };
}

function checkGroups(fleet: FleetDefinition, plans: ReadonlyMap<string, NodePlan>): void {
  const remote = new Set([...plans.values()].flatMap((plan) => Object.keys(plan.remotePeers)));
  const check = (node: string | null, groups: Readonly<Record<string, readonly string[]>> = {}) => {
    for (const [group, members] of Object.entries(groups)) {
      const unknown = members.find((member) => !plans.has(member) && !remote.has(member));
      if (unknown === undefined) continue;
      throw new RuntimeError("FLEET_INVALID", { ...(node === null ? {} : { node }), group, reason: `no node is called ${unknown}` });
    }
  };
  check(null, fleet.groups);
  for (const [name, node] of Object.entries(fleet.nodes)) check(name, node.groups);
}

/** A name in a policy is a node's or a peer's. What else there is must be a range or a protocol, or at least look like a peer id. */
function checkPolicies(fleet: FleetDefinition, plans: ReadonlyMap<string, NodePlan>): void {
  for (const { name, policy, remotePeers } of plans.values()) {
    for (const item of [...(policy.block ?? []), ...(policy.allow ?? [])]) {
      const who = typeof item === "string" ? item : item.who;
      if (Object.hasOwn(fleet.nodes, who) || Object.hasOwn(remotePeers, who) || /^[1-9A-HJ-NP-Za-km-z]{40,}$/.test(who)) continue;
      const reason = /[/:]/.test(who) ? faultOfScope(who) : "neither a node, nor a peer, nor a peer id";
      if (reason !== undefined) throw new RuntimeError("FLEET_INVALID", { node: name, policy: who, reason });
    }
  }
}

function faultOfScope(who: string): string | undefined {
  try {
    parsePolicyScope(who);
    return undefined;
  } catch (error) {
    return String((error as RuntimeError).details["reason"]);
  }
}

function checkEngines(plans: ReadonlyMap<string, NodePlan>): void {
  for (const { name, engine } of plans.values()) {
    try {
      engineOptionsFromMs({ engine });
    } catch (error) {
      throw new RuntimeError("FLEET_INVALID", { node: name, at: "engine", reason: (error as RuntimeError).message });
    }
  }
}

function checkAddresses(plans: ReadonlyMap<string, NodePlan>): void {
  const taken = new Map<string, string>();
  for (const { name, listen } of plans.values()) {
    if (typeof listen !== "string" || listen.endsWith("/tcp/0")) continue;
    const other = taken.get(listen);
    if (other !== undefined) throw new RuntimeError("FLEET_INVALID", { node: name, listen, reason: `${other} listens there too` });
    taken.set(listen, name);
  }
}

function checkJob({ job, groups = {}, nodes }: FleetDefinition, names: readonly string[]): void {
  if (job === undefined) return;
  const refuse = (at: string, reason: string) => new RuntimeError("FLEET_INVALID", { at: `job.${at}`, reason });
  // The state of a job that is done is removed, and only what lies in the fleet's directory is surely ours to remove.
  const elsewhere = names.find((name) => nodes[name]?.dataDir !== undefined);
  if (elsewhere !== undefined) throw refuse("node", `${elsewhere} has a dataDir of its own, which a fleet with a job cannot have`);
  if (!names.includes(job.node)) throw refuse("node", `no node is called ${job.node}`);
  if (job.chaos === undefined) return;
  for (const group of [job.chaos.kill, job.chaos.stop]) {
    if (!Object.hasOwn(groups, group)) throw refuse("chaos", `no group is called ${group}`);
  }
  if (!names.includes(job.chaos.killLast)) throw refuse("chaos.killLast", `no node is called ${job.chaos.killLast}`);
}
