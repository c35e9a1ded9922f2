export { assert, BugError, unreachable } from "./base/assert.ts";
export { Heap } from "./base/heap.ts";
export { Random, type RandomState } from "./base/random.ts";
export { ERRORS, RuntimeError, type ErrorCode } from "./base/errors.ts";
export { LINK_SITE, siteId } from "./base/ids.ts";
export type { Chain, ChainId, CommandId, ExecutionId, Lineage, PeerId, ProgramHash, SiteId } from "./base/ids.ts";
export { comparePeerIds, ed25519FromPeerId, parsePeerId, peerIdFromEd25519 } from "./base/peer-id.ts";
export { NS_PER_MS, NS_PER_S, type Due } from "./base/time.ts";
export { sha256, sha256Hex } from "./base/sha256.ts";
export { VALUE_BYTES_MAX, type Value } from "./base/value.ts";
export { checkValue, decodeValue, encodeValue, isValue } from "./base/value-codec.ts";

export { FrameReader } from "./wire/frame.ts";
export { ENVELOPE_BYTES_MAX, HELLO_BYTES_MAX } from "./wire/limits.ts";
export type { Message } from "./wire/message.ts";
export { decodeMessage } from "./wire/message-codec.ts";

export { compileFlows } from "./flow/library.ts";
export type { Definitions, Failure, HostClass, HostContext, HostDefinition, PureDefinition } from "./flow/definitions.ts";
export { flow, Flow, type AnyFlow, type FlowOptions, type FlowOutputs } from "./flow/flow.ts";
export type { CallOptions, CellFold, CellRange, FlowBuilder, ItemResult, MapOptions, Retry } from "./flow/flow-builder.ts";
export { host, pure, type HostCall, type HostFunction, type HostSignal, type Probed, type PureFunction } from "./flow/functions.ts";
export type { Port, PortsOf } from "./flow/port.ts";
export { any, schema, NamedSchema, type Checked, type Given, type PortSchemas } from "./flow/port-schema.ts";
export type { Operation, Port as ProgramPort, Program, Selection } from "./flow/program.ts";
export { programToMermaid, programToText, showPasses } from "./flow/show.ts";

export { Driver, type Commit } from "./driver.ts";
export { Engine, type Turn } from "./engine/engine.ts";
export { BUS_EVENTS } from "./engine/engine-events.ts";
export type { Answer, BusEvent, BusEventKind, Effect, EngineEvent, LinkId, Outcome, PolicyChange, Wake } from "./engine/engine-events.ts";
export { ENGINE_DEFAULTS, engineOptions, type EngineOptions } from "./engine/engine-options.ts";
export { STATUS_NAMES } from "./engine/execution.ts";
export { readNodeRow, type RestoreReport, type StoredNode } from "./engine/restore.ts";
export { ROW, SPEC_VERSION, type Encoded } from "./engine/rows.ts";
export { captureRows, foldDifferences } from "./engine/capture.ts";
export { decodeSnapshot, encodeSnapshot, snapshotOrigin, type SnapshotOrigin } from "./snapshot/snapshot.ts";
export { describeSnapshot } from "./snapshot/describe-snapshot.ts";
export { withNewLineage } from "./snapshot/new-lineage.ts";
