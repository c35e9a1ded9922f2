import { NS_PER_MS } from "../../base/time.ts";
import { busyFlows } from "./busy-flows.ts";
import { TestWorld } from "./pair.ts";

/**
 * Three nodes stopped in the middle of everything: work at every stage, cells, results, a peer that is cut off and cooling
 * down, one that is blocked, envelopes nobody acknowledged, operations that are ready and have not run.
 */
export function busyWorld(): TestWorld {
  const world = new TestWorld(["ann", "bob", "cid"], busyFlows, { workers: ["bob", "cid"] }, { softEveryNs: 1 });
  const [ann, bob, cid] = [world.node("ann"), world.node("bob"), world.node("cid")];
  world.settle();
  ann.invoke("worked", { n: 1 }, "done");
  ann.invoke("spread", { list: [1, 2, 3] }, "spread");
  world.run(2000);
  for (const node of [ann, bob, cid]) node.holdHost = true;
  ann.invoke("ask", { n: 4 }, "asked");
  ann.invoke("hurried", { n: 5 }, "hurried/one");
  ann.invoke("listed", { list: [1, 2, 3, 4] }, "listed");
  ann.invoke("spread", { list: [5, 6, 7] }, "spread again");
  world.settle();
  const [first] = ann.hostStarts.filter(({ at }) => at.startsWith("worked"));
  if (first !== undefined) ann.finishHost(first);
  world.settle();
  world.cutOff.add(cid);
  for (const [link, peer] of cid.driver.engine.state.links) if (peer.id === ann.id) world.close(link, cid);
  world.now += 5 * NS_PER_MS;
  world.settle();
  world.cutOff.add(bob);
  ann.invoke("tell", { n: 8 }, "told");
  world.settle();
  // More than one turn can run: what is left over stays in the frontier.
  for (let n = 0; n < 350; n++) ann.invoke("hurried", { n }, `many ${n}`);
  ann.step();
  return world;
}
