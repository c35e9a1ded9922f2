import assert from "node:assert/strict";
import { test } from "node:test";
import { any, flow, pure } from "@holdfast/core";
import { checkFlows } from "./check-flows.ts";
import { defineFleet } from "./define-fleet.ts";
import type { FleetDefinition } from "./define-fleet.ts";

const echo = flow("echo", { input: { text: any<string>() }, output: { text: any<string>() }, deadlineMs: 1_000 }, (_b, { text }) => ({ text }));
const remote = { id: "12D3KooWKEAUve7p8Dqr6FhFHSYWK6JyRqDZTEgMNYfe9aefwyRB", addresses: ["/ip4/10.0.0.1/tcp/4001"] };
const fleet = (changes: object): FleetDefinition => ({ name: "f", nodes: { ann: {}, bob: {} }, flows: [echo], ...changes }) as FleetDefinition;
const job = { node: "ann", flow: echo, progress: "batches", prepare: async () => ({ input: {}, title: "" }), report: async () => ({ rows: [], proofs: [] }) };
const chaos = { at: [0.5], kill: "g", stop: "g", stopMs: 1, killLast: "ann" };

const refused = [
  { name: "an unknown option", changes: { colour: "red" }, message: /colour/ },
  { name: "an unknown option of a node", changes: { nodes: { ann: { prot: 1 } } }, message: /nodes\.ann\.prot/ },
  { name: "no nodes", changes: { nodes: {} }, message: /at least one node/ },
  { name: "a name that is no directory", changes: { nodes: { "../ann": {} } }, message: /a name is/ },
  { name: "a peer nobody knows", changes: { nodes: { ann: { peers: ["carl"] } } }, message: /node: ann, peer: carl/ },
  { name: "a node that is its own peer", changes: { nodes: { ann: { peers: ["ann"] } } }, message: /not its own peer/ },
  { name: "a peer listed twice", changes: { nodes: { ann: { peers: ["bob", "bob"] }, bob: {} } }, message: /listed twice/ },
  { name: "a remote peer with a node's name", changes: { nodes: { ann: { peers: { bob: remote } }, bob: {} } }, message: /the fleet has a node/ },
  { name: "a group of nobody", changes: { groups: { g: ["carl"] } }, message: /group: g, reason: no node is called carl/ },
  { name: "a policy on a range that is none", changes: { policy: { block: ["10.0.0.1/8"] } }, message: /policy: 10\.0\.0\.1\/8, reason: bits are set behind the prefix/ },
  { name: "a policy on nobody", changes: { policy: { block: ["carl"] } }, message: /policy: carl/ },
  { name: "an engine option that is none", changes: { engine: { heartbeatMS: 5 } }, message: /node: ann, at: engine, reason: .*heartbeatMS/ },
  { name: "an engine option out of its range", changes: { nodes: { ann: { engine: { heartbeatMs: -1 } } } }, message: /at: engine, reason: .*heartbeat/ },
  { name: "an address that is none", changes: { nodes: { ann: { listen: "localhost:80" } } }, message: /nodes\.ann\.listen.*multiaddr/ },
  {
    name: "two nodes on one address",
    changes: { nodes: { ann: { listen: "/ip4/127.0.0.1/tcp/4001" }, bob: { listen: "/ip4/127.0.0.1/tcp/4001" } } },
    message: /node: bob, listen: \/ip4\/127\.0\.0\.1\/tcp\/4001, reason: ann listens there too/,
  },
  { name: "a flow that is none", changes: { flows: [{}] }, message: /flows\.0.*made with flow/ },
  { name: "a job on no node", changes: { job: { ...job, node: "carl" } }, message: /job\.node.*carl/ },
  { name: "chaos among nobody", changes: { job: { ...job, chaos } }, message: /no group is called g/ },
  { name: "chaos beyond the end", changes: { job: { ...job, chaos: { ...chaos, at: [2] } } }, message: /job\.chaos\.at\.0/ },
  { name: "a job with state elsewhere", changes: { nodes: { ann: { dataDir: "/x" } }, job }, message: /dataDir of its own/ },
];

for (const { name, changes, message } of refused) {
  test(`fleet: refuses ${name}`, () => {
    assert.throws(() => defineFleet(fleet(changes)), (error: Error & { code: string }) => {
      assert.equal(error.code, "FLEET_INVALID");
      assert.match(error.message, message);
      return true;
    });
  });
}

test("fleet: by default everybody is everybody's peer, and groups hold only peers", () => {
  const { nodes } = defineFleet(fleet({ groups: { all: ["ann", "bob"] } }));
  assert.deepEqual(nodes.get("ann")?.localPeers, ["bob"]);
  assert.deepEqual(nodes.get("ann")?.groups, { all: ["bob"] });
  assert.deepEqual(nodes.get("bob")?.groups, { all: ["ann"] });
});

test("fleet: peers elsewhere go by name and id, in a record or among the nodes", () => {
  const given = { ann: { peers: ["bob", { name: "carl", ...remote }] }, bob: { peers: { carl: remote } } };
  const { nodes } = defineFleet(fleet({ nodes: given, groups: { g: ["carl", "ann"] }, policy: { allow: ["carl", "ann", remote.id] } }));
  assert.deepEqual(nodes.get("ann")?.localPeers, ["bob"]);
  assert.deepEqual(nodes.get("ann")?.remotePeers, { carl: remote });
  assert.deepEqual(nodes.get("bob")?.groups, { g: ["carl"] });
});

test("fleet: a node's own engine options come beside the fleet's", () => {
  const { nodes } = defineFleet(fleet({ nodes: { ann: { engine: { heartbeatMs: 500 } }, bob: {} }, engine: { heartbeatMs: 2000, hedging: false } }));
  assert.deepEqual([nodes.get("ann")?.engine, nodes.get("bob")?.engine], [{ heartbeatMs: 500, hedging: false }, { heartbeatMs: 2000, hedging: false }]);
});

test("fleet: a node's own groups, policy and flows come before the fleet's", () => {
  const own = { groups: { g: ["bob"] }, policy: { block: ["bob"] }, flows: [] };
  const { nodes } = defineFleet(fleet({ nodes: { ann: own, bob: {} }, groups: { g: [] }, policy: { allow: [] } }));
  assert.deepEqual([nodes.get("ann")?.groups, nodes.get("ann")?.policy, nodes.get("ann")?.flows], [own.groups, own.policy, []]);
  assert.deepEqual([nodes.get("bob")?.policy, nodes.get("bob")?.flows], [{ allow: [] }, [echo]]);
});

test("fleet: a flow must not name groups and peers that nobody has, nor a job a map that is none", () => {
  const calls = (name: string, target: "group" | "peer") => flow(name, { deadlineMs: 1_000 }, (b) => {
    b.call(echo, target === "group" ? b.select("nobody") : b.peer("carl"), { text: b.constant("x") });
  });
  assert.throws(() => checkFlows(defineFleet(fleet({ flows: [calls("a", "group")] }))), /node: ann, flow: a, operation: select-nobody, reason: no group is called nobody/);
  assert.throws(() => checkFlows(defineFleet(fleet({ flows: [calls("b", "peer")] }))), /flow: b, operation: .*, reason: no peer is called carl/);
  assert.throws(() => checkFlows(defineFleet(fleet({ job }))), /job\.progress, flow: echo, operation: batches/);
  assert.throws(() => checkFlows(defineFleet(fleet({ flows: [], job }))), /job\.flow.*no flow echo/);
  checkFlows(defineFleet(fleet({})));
});

test("fleet: a flow that does not compile is told with flow and operation", () => {
  const loose = flow("loose", { output: { n: any<number>() }, deadlineMs: 1_000 }, (b) => {
    b.pure(pure("one", {}, () => 1));
    return {} as never;
  });
  assert.throws(() => checkFlows(defineFleet(fleet({ flows: [loose] }))), { code: "FLOW_INVALID" });
});
