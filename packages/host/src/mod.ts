export { createNode, type NodeParts } from "./node.ts";
export type {
  CellReader, EngineTimings, ExecutionDetails, ExecutionState, ExecutionSummary, ExplainedPeer, Log, Node, NodeOptions,
  NodeStatus, OperationReport, PeerAddress, PeerReport, PolicyEntryReport, PolicyItem, PolicyOptions, PolicyReport, StartOptions,
} from "./node-api.ts";
export { engineOptionsFromMs } from "./node-options.ts";
export { ExecutionFailure } from "./execution-failure.ts";
export { openIdentity, temporaryIdentity, type Identity } from "./identity/identity.ts";
export { openLog, type LogOptions } from "./log.ts";
export { ensurePrivateDirectory } from "./files/private-directory.ts";
export type { Admit, AdmitAddress, Link, LinkHandlers, Listener, Transport } from "./links/link.ts";
export { MemoryNetwork, memoryTransport } from "./links/memory-link.ts";
export { tlsTransport } from "./links/tls-link.ts";
export { unixTransport } from "./links/unix-link.ts";
export type { Batch, Claim, Row, Store } from "./stores/store.ts";
export { MemoryDisk, memoryStore } from "./stores/memory-store.ts";
export { openSqliteStore, readSqliteStore } from "./stores/sqlite-store.ts";
export { ControlClient, ControlError } from "./control/control-client.ts";
export {
  encodeControlLine, EXECUTION_FAILED, tagged, untagged,
  type ControlMethod, type ExecutionFailedDetails, type ParamsOf, type ResultOf,
} from "./control/control-protocol.ts";
export { ControlServer } from "./control/control-server.ts";
export { readSnapshot, restoreNode } from "./restore-node.ts";
export { describeSnapshot } from "@holdfast/core";
