import { temporaryIdentity } from "../identity/identity.ts";
import { MemoryNetwork, memoryTransport } from "./memory-link.ts";
import { linkConformance } from "./testing/link-conformance.ts";

const [ann, bob, eve] = [temporaryIdentity().peerId, temporaryIdentity().peerId, temporaryIdentity().peerId];

linkConformance("memory link", () => {
  const network = new MemoryNetwork();
  return {
    dialler: memoryTransport(network, ann), dialPeer: ann,
    listener: memoryTransport(network, bob), listenPeer: bob,
    address: "/memory/0", strangerPeer: eve,
  };
});
