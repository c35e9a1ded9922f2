/** Holdfast: a peer runtime. Flows are written with `flow`, `host` and `pure`, and run by the nodes of a fleet. */
export { any, flow, host, pure, RuntimeError, schema } from "@holdfast/core";
export type {
  AnyFlow, BusEvent, CallOptions, CellFold, CellRange, Failure, Flow, FlowBuilder, FlowOptions, HostCall, HostClass, HostFunction,
  ItemResult, MapOptions, PeerId, Port, PortsOf, Probed, PureFunction, Retry, Selection, Value,
} from "@holdfast/core";
export { createNode, ExecutionFailure } from "@holdfast/host";
export type {
  CellReader, ExecutionDetails, ExecutionState, ExecutionSummary, Log, Node, NodeOptions, NodeStatus, OperationReport, PeerAddress,
  PeerReport, StartOptions,
} from "@holdfast/host";
export { defineFleet, type Fleet, type FleetDefinition, type FleetNode, type FleetPolicy, type RemotePeer } from "./fleet/define-fleet.ts";
export type { ChaosPlan, FleetJob, JobContext, JobReport, PreparedJob } from "./job/fleet-job.ts";
