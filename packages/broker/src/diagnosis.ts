/** What a doctor needs to look at. Clients and backends have no use for it: it loads parts of the broker itself. */
export { rawChannelAvailable } from "./channel/raw-channel.ts";
export { readDescriptors, type Descriptors } from "./broker/descriptor-pressure.ts";
export { loadPeerCredentials } from "./broker/peer-credentials.ts";
export { StartPlans, type PlannedStart } from "./broker/start-plans.ts";
export { readIdentity } from "./runtime/backend-identity.ts";
