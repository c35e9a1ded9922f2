import { unreachable } from "../base/assert.ts";
import { RuntimeError } from "../base/errors.ts";
import { StoredValue } from "../base/stored-value.ts";
import { encodeValue } from "../base/value-codec.ts";
import type { Value } from "../base/value.ts";
import type { CommandId, ExecutionId, Lineage, PeerId } from "../base/ids.ts";
import { addNs, NS_PER_MS, type Due } from "../base/time.ts";
import type { Chain } from "../base/ids.ts";
import type { Operation } from "../flow/program.ts";
import type { Failure } from "../flow/definitions.ts";
import type { LinkedProgram } from "../flow/program-link.ts";
import type { RequestBody } from "../wire/message.ts";
import type { Command } from "./command.ts";
import type { EngineState } from "./engine-state.ts";
import { Execution, STATUS, type Origin } from "./execution.ts";
import { failureValue, FinishedExecution } from "./finished-executions.ts";
import { badInput, deadlineFailure, deniedFailure } from "./failures.ts";
import type { Outcome } from "./engine-events.ts";
import { MapRunner } from "./map-runner.ts";
import { callPure } from "./pure-call.ts";
import type { Peer } from "./peer.ts";
import type { PeerLinks } from "./peer-links.ts";
import { schemaOf, validate, validateInputs, valueFailure } from "./port-values.ts";
import { payloads, chainOf, oneWayOwner, type Requests, type RequestListener } from "./requests.ts";
import { choosePeer } from "./selection.ts";

/** Events kept for `wait`s that an execution has not reached yet. */
const EARLY_EVENTS_MAX = 64;
/** Of host work that takes none. */
const NO_INPUT = StoredValue.of(null);

/**
 * Executor runs programs: starts executions, runs their operations when all inputs are there, and takes every command
 * to its one end. Operations that wait are parked, each with exactly one command (a map: one for each child in flight).
 */
export class Executor implements RequestListener {
  readonly #state: EngineState;
  /** Set once, by whoever makes all three. */
  requests!: Requests;
  links!: PeerLinks;
  /** Started in this turn: what is still alive at its end becomes durable. */
  #fresh: Execution[] = [];
  readonly #maps: MapRunner;

  constructor(state: EngineState) {
    this.#state = state;
    this.#maps = new MapRunner(state, this);
  }

  // ── executions start ──

  start(
    program: LinkedProgram, origin: Origin, values: readonly Value[],
    given: { id?: ExecutionId | undefined; workKey?: string; chain?: Chain | null; deadlineAt?: Due; bytes?: readonly Uint8Array[] } = {},
  ): Execution {
    const state = this.#state;
    const id = given.id ?? (`#${state.nextExecution++}` as ExecutionId);
    const own = program.program.deadlineNs === "never" ? Infinity : addNs(state.now, program.program.deadlineNs);
    const deadline = Math.min(own, given.deadlineAt === undefined || given.deadlineAt === "never" ? Infinity : given.deadlineAt);
    const execution = new Execution(id, program, origin, {
      workKey: given.workKey ?? `${state.identity.lineage}:${id}`, chain: given.chain ?? null,
      startedAt: state.now, deadlineAt: deadline === Infinity ? "never" : deadline,
    });
    state.addExecution(execution);
    this.#fresh.push(execution);
    state.count("executions-started");
    const ready: number[] = [];
    program.sources.forEach((operation) => {
      execution.status[operation] = STATUS.ready;
      ready.push(operation);
    });
    program.program.inputs.forEach((port, at) => execution.write(port.slot, values[at] as Value, given.bytes?.[at], ready));
    for (const operation of ready) state.frontier.push(execution, operation);
    if (execution.unfinished === 0) this.#finish(execution);
    return execution;
  }

  /** One envelope is one admission is one execution; what cannot be admitted is answered `refused`. */
  handleRequest(peer: Peer, body: RequestBody, remainingNs: number | "never"): void {
    const state = this.#state;
    const program = state.programByAddress(body.address);
    // A compiler-made child (`flow:map`) takes a selection as input: only its own parent may run it.
    if (program === undefined || program.program.name.includes(":")) return this.#refuse(peer, body, "UNKNOWN_FLOW", `no flow ${body.address} here`);
    if (state.executionsFull) return this.#refuse(peer, body, "FULL", "too many live executions");
    if (remainingNs !== "never" && remainingNs <= 1) return this.#reject(peer, body, deadlineFailure(program.program.name));
    const inputs = validateInputs(state, program.program, body.ports);
    if (!inputs.ok) return this.#reject(peer, body, inputs.failure);
    const { request, attempt, oneWay } = body;
    const lineage = peer.session.peerLineage as Lineage;
    this.start(program, { kind: "peer", peer: peer.id, lineage, request, attempt, oneWay }, inputs.values, {
      workKey: body.key, chain: body.chain, deadlineAt: remainingNs === "never" ? "never" : addNs(state.now, remainingNs),
    });
  }

  // ── operations run ──

  /** Runs up to `limit` ready operations, first in, first out. Returns how many. */
  run(limit: number): number {
    let count = 0;
    const visit = (execution: Execution, operation: number): void => {
      // Cancelled or ended since it was queued.
      if (execution.ended || execution.status[operation] !== STATUS.ready) return;
      count++;
      this.#runOperation(execution, operation);
    };
    while (count < limit && this.#state.frontier.shift(visit));
    return count;
  }

  /** Ends a turn: executions that live on become durable. */
  endTurn(): void {
    this.#keepFresh();
    if (this.#maps.fillStalled()) this.#keepFresh();
  }

  #keepFresh(): void {
    for (const execution of this.#fresh) if (!execution.ended) this.#state.keepExecution(execution);
    this.#fresh.length = 0;
  }

  #runOperation(execution: Execution, index: number): void {
    const state = this.#state;
    const operation = execution.program.operations[index] as Operation;
    if (this.#lacksDefinition(operation)) return this.#parkGate(execution, index, undefined); // `parkMissing`: until a start that has it
    switch (operation.kind) {
      case "constant": return this.complete(execution, index, [operation.value]);
      case "select": return this.complete(execution, index, [{ group: operation.group }]);
      case "clock": return this.complete(execution, index, [state.wallMs]);
      case "race": {
        const winner = operation.inputs.find((slot) => execution.isWritten(slot)) as number;
        this.complete(execution, index, [execution.valueAt(winner)], [execution.bytesOf(winner)]);
        return this.#cancelLosers(execution, operation.inputs);
      }
      case "pure": return this.#runPure(execution, index, operation.fn, operation.inputs);
      case "update": return this.#runUpdate(execution, index, operation);
      case "read": return this.#runRead(execution, index, operation);
      case "gate": return this.#runGate(execution, index, operation);
      case "send": return this.#runSend(execution, index, operation);
      case "map": return this.#maps.begin(execution, index, operation);
      case "host": {
        const command = this.#park(execution, index, "host", earlier(execution.deadlineAt, state.now, operation.deadlineNs), null);
        return command && this.#startHost(command, execution, false);
      }
      case "call": {
        const due = earlier(execution.deadlineAt, state.now, operation.deadlineNs);
        const permit = execution.valueAt(operation.inputs[1] as number) as PeerId;
        const denied = this.#deniedSince(permit);
        if (denied !== undefined) return this.fail(execution, index, denied);
        const command = this.#park(execution, index, "request", due, execution.valueAt(operation.inputs[0] as number));
        return command && this.requests.begin(command, execution, state.peer(permit));
      }
      case "wait": {
        const early = execution.events.get(operation.event);
        if (early === undefined) {
          this.#park(execution, index, "event", earlier(execution.deadlineAt, state.now, operation.deadlineNs), operation.event);
          return;
        }
        execution.events.delete(operation.event);
        return this.complete(execution, index, [early]);
      }
      case "sleep": {
        const ms = operation.durationNs > 0 ? operation.durationNs / NS_PER_MS : execution.valueAt(operation.inputs[0] as number);
        if (typeof ms !== "number" || !(ms >= 0)) return this.fail(execution, index, badInput("a duration in ms"));
        this.#park(execution, index, "timer", addNs(state.now, Math.round(ms * NS_PER_MS)), null);
        return;
      }
      case "output": {
        const value = execution.valueAt(operation.inputs[0] as number);
        const command = this.#park(execution, index, "output", "never", operation.port);
        if (command) state.emit({ kind: "deliver-output", command: command.id, execution: execution.id, port: operation.port, value });
        return;
      }
      default: return unreachable(operation);
    }
  }

  #runPure(execution: Execution, index: number, name: string, inputs: readonly number[]): void {
    const result = callPure(this.#state.definitions, name, inputs.map((slot) => execution.valueAt(slot)));
    if ("failure" in result) return this.fail(execution, index, result.failure);
    this.complete(execution, index, [result.value]);
  }

  #runUpdate(execution: Execution, index: number, operation: Extract<Operation, { kind: "update" }>): void {
    const [key, ...rest] = operation.inputs.map((slot) => execution.valueAt(slot));
    if (typeof key !== "string") return this.fail(execution, index, badInput("a key that is a string"));
    const table = this.#state.cells.table(operation.cells);
    const result = callPure(this.#state.definitions, operation.fn, [table.get(key) ?? null, ...rest]);
    if ("failure" in result) return this.fail(execution, index, result.failure);
    table.set(key, result.value, this.#state.journal);
    this.complete(execution, index, [result.value]);
  }

  #runRead(execution: Execution, index: number, operation: Extract<Operation, { kind: "read" }>): void {
    const table = this.#state.cells.find(operation.cells);
    const input = execution.valueAt(operation.inputs[0] as number);
    if (operation.by === "key") {
      if (typeof input !== "string") return this.fail(execution, index, badInput("a key that is a string"));
      return this.complete(execution, index, [table.get(input) ?? null]);
    }
    const { after = null, limit = 1000 } = (input ?? {}) as { after?: Value; limit?: Value };
    const valid = (after === null || typeof after === "string") && typeof limit === "number" && limit >= 1 && limit <= 10_000;
    if (!valid) return this.fail(execution, index, badInput("{after?: string, limit?: 1 to 10000}"));
    this.complete(execution, index, [table.range(after as string | null, limit as number)]);
  }

  /** The peer-health gate: every send and call passes one. Parks while everybody eligible is cooling down. */
  #runGate(execution: Execution, index: number, operation: Operation): void {
    const choice = choosePeer(this.#state, execution.valueAt(operation.inputs[0] as number), flowBehind(execution, operation));
    switch (choice.kind) {
      case "peer":
        this.#state.admitSend(choice.peer, execution.id);
        return this.complete(execution, index, [choice.peer.id]);
      case "denied": return this.fail(execution, index, deniedFailure(choice.reason));
      case "unknown": return this.fail(execution, index, { code: "UNKNOWN_PEER", message: `There is ${choice.reason}.`, at: [], details: null });
      case "wait": return this.#parkGate(execution, index, choice.retryAt);
    }
  }

  /** Policy may have changed between the gate and what it let through. */
  #deniedSince(peer: PeerId): Failure | undefined {
    const decision = this.#state.governor.checkInbound(peer);
    return decision.allow ? undefined : deniedFailure(decision.reason);
  }

  #parkGate(execution: Execution, index: number, retryAt: number | undefined): void {
    const state = this.#state;
    const command = this.#park(execution, index, "gate", execution.deadlineAt, null);
    if (command === undefined) return;
    state.parkedGates.add(command);
    if (retryAt !== undefined) state.timers.set("gate", command, retryAt);
  }

  /** A parked gate looks again. */
  retryGate(command: Command): void {
    const execution = this.#state.executions.get(command.execution);
    if (command.ended || execution === undefined) return;
    this.#state.removeCommand(command);
    execution.commands.delete(command.operation);
    execution.status[command.operation] = STATUS.ready;
    this.touch(execution);
    this.#runOperation(execution, command.operation);
  }

  retryGates(): void {
    for (const command of [...this.#state.parkedGates]) this.retryGate(command);
  }

  #runSend(execution: Execution, index: number, operation: Extract<Operation, { kind: "send" }>): void {
    const state = this.#state;
    const peer = state.peer(execution.valueAt(operation.inputs[1] as number) as PeerId);
    const denied = this.#deniedSince(peer.id);
    if (denied !== undefined) return this.fail(execution, index, denied);
    if (!peer.session.admitsRequest) return this.#parkGate(execution, index, undefined); // until its window opens
    const decision = state.governor.checkOutbound(peer.id, state.backoff, state.now);
    if (!decision.allow && decision.reason === "cooldown") return this.#parkGate(execution, index, decision.retryAt); // begun while it waited
    const chain = chainOf(execution, operation);
    const request = state.nextCommand++;
    try {
      this.links.sendBody(peer, {
        type: "request", oneWay: true, request, attempt: 1, key: `${execution.workKey}.${operation.name}`,
        chain: chain === undefined ? null : { id: chain.chainId, hop: chain.hopIndex },
        address: operation.flow, ports: payloads(execution, operation.ports, operation.inputs.slice(2)),
      }, earlier("never", state.now, operation.deadlineNs));
    } catch (error) {
      return this.fail(execution, index, valueFailure(error, `the request to ${operation.flow}`));
    }
    peer.counts.calls++;
    state.probes.handOver(peer.id, execution.id, oneWayOwner(request)); // its acknowledgement comes when the execution may be over
    this.complete(execution, index, [null]);
  }

  // ── commands end ──

  requestCompleted(command: Command, values: readonly Value[]): void {
    const execution = this.#state.executions.get(command.execution);
    if (execution !== undefined) this.complete(execution, command.operation, values);
  }

  requestFailed(command: Command, failure: Failure): void {
    const execution = this.#state.executions.get(command.execution);
    if (execution !== undefined) this.fail(execution, command.operation, failure);
  }

  callerLost(peer: PeerId): void {
    for (const execution of [...this.#state.executions.values()]) {
      if (execution.origin.kind === "peer" && execution.origin.peer === peer) this.discard(execution);
    }
  }

  /** A caller no longer wants what it asked for. */
  handleCancel(peer: PeerId, request: number, attempt: number): void {
    for (const execution of this.#state.executions.values()) {
      const { origin } = execution;
      if (origin.kind !== "peer" || origin.peer !== peer || origin.request !== request || origin.attempt !== attempt) continue;
      return this.discard(execution);
    }
  }

  handleHostCompleted(id: CommandId, value: Value): void {
    const { command, execution } = this.#live(id, "host");
    if (command === undefined || execution === undefined) return; // late: changes nothing
    const operation = execution.program.operations[command.operation] as Extract<Operation, { kind: "host" }>;
    const schema = this.#state.definitions.host.get(operation.fn)?.output;
    let bytes: Uint8Array;
    try {
      bytes = encodeValue(value);
    } catch (error) {
      return this.#end(command, execution, { failure: valueFailure(error, operation.fn) });
    }
    const checked = validate(schema, value, `the result of ${operation.fn}`);
    if ("failure" in checked) return this.#end(command, execution, { failure: checked.failure });
    this.#end(command, execution, { value: checked.value, bytes: checked.value === value ? bytes : undefined });
  }

  handleHostFailed(id: CommandId, failure: Omit<Failure, "at">): void {
    const { command, execution } = this.#live(id, "host");
    if (command !== undefined && execution !== undefined) this.#end(command, execution, { failure: { ...failure, at: [] } });
  }

  handleOutputDelivered(id: CommandId): void {
    const { command, execution } = this.#live(id, "output");
    if (command !== undefined && execution !== undefined) this.#end(command, execution, { value: null });
  }

  /** Returns false if the execution is not there, or a failure if the value does not fit. */
  handleSignal(id: ExecutionId, event: string, value: Value): boolean | Failure {
    const execution = this.#state.executions.get(id);
    if (execution === undefined) return false;
    const waits = (one: Operation, at: number): boolean => {
      return one.kind === "wait" && one.event === event && (execution.status[at] as number) <= STATUS.parked;
    };
    const index = execution.program.operations.findIndex(waits);
    const operation = execution.program.operations[index];
    if (operation?.kind !== "wait") return { code: "NOT_FOUND", message: `${execution.program.program.name} waits for no event ${event}`, at: [], details: null };
    const checked = validate(schemaOf(this.#state, operation), value, `event ${event}`);
    if ("failure" in checked) return checked.failure;
    const commandId = execution.commands.get(index);
    const command = commandId === undefined ? undefined : this.#state.commands.get(commandId);
    if (command !== undefined) this.#end(command, execution, { value: checked.value });
    else if (execution.events.size >= EARLY_EVENTS_MAX && !execution.events.has(event)) {
      return { code: "FULL", message: "Too many events came before they were waited for.", at: [], details: null };
    } else {
      execution.events.set(event, checked.value);
      this.touch(execution);
    }
    return true;
  }

  handleDue(command: Command): void {
    const state = this.#state;
    const execution = state.executions.get(command.execution);
    if (execution === undefined || command.ended) return;
    if (command.due !== "never" && state.now - command.due > state.options.pauseMinNs) state.count("timers-late");
    switch (command.kind) {
      case "timer": return this.#end(command, execution, { value: null });
      case "host": state.emit({ kind: "abort-host", command: command.id, reason: "deadline" }); break;
      case "request": this.requests.cancel(command); break;
      case "event": case "gate": case "output": case "child": break;
    }
    this.#end(command, execution, { failure: deadlineFailure(execution.program.program.name) });
  }

  handleDeadline(execution: Execution): void {
    if (!execution.ended) this.cancel(execution, deadlineFailure(execution.program.program.name));
  }

  /** Ends an execution before its time; its outcome is delivered as a failure. */
  cancel(execution: Execution, failure: Failure): void {
    this.#endExecution(execution, { ok: false, failure });
  }

  /** After a restart: drives what was pending. */
  resume(command: Command, execution: Execution): void {
    const state = this.#state;
    if (command.due !== "never") state.timers.set("command-due", command, command.due);
    switch (command.kind) {
      case "timer": case "event": case "child": return;
      case "gate":
        state.parkedGates.add(command);
        state.timers.set("gate", command, state.now);
        return;
      case "request": return this.requests.resume(command);
      case "output": {
        const operation = execution.program.operations[command.operation] as Extract<Operation, { kind: "output" }>;
        const value = execution.valueAt(operation.inputs[0] as number);
        return state.emit({ kind: "deliver-output", command: command.id, execution: execution.id, port: operation.port, value });
      }
      case "host": {
        const operation = execution.program.operations[command.operation] as Extract<Operation, { kind: "host" }>;
        const definition = state.definitions.host.get(operation.fn);
        if (definition === undefined) return; // parked, visibly: its definition is missing
        if (definition.class !== "unsafe") return this.#startHost(command, execution, definition.class === "probe");
        const message = "The process ended while this ran, and it must not be run again.";
        return this.#end(command, execution, { failure: { code: "OUTCOME_UNKNOWN", message, at: [], details: null } });
      }
    }
  }

  /** After a restart: maps go on with the next turn. */
  resumeMaps(execution: Execution): void {
    this.#maps.resume(execution);
  }

  // ── inside ──

  #startHost(command: Command, execution: Execution, probe: boolean): void {
    const state = this.#state;
    const operation = execution.program.operations[command.operation] as Extract<Operation, { kind: "host" }>;
    command.attempt++;
    state.journal.touch(command);
    state.count("host-starts");
    state.emit({
      kind: "start-host", command: command.id, fn: operation.fn, probe, attempt: command.attempt,
      input: operation.inputs.length === 0 ? NO_INPUT : execution.storedAt(operation.inputs[0] as number),
      key: `${execution.workKey}.${operation.name}`, at: `${execution.program.program.name}/${operation.name}`,
      remainingNs: command.due === "never" ? "never" : Math.max(1, command.due - state.now),
    });
  }

  #lacksDefinition(operation: Operation): boolean {
    const { pure, host } = this.#state.definitions;
    switch (operation.kind) {
      case "pure": case "update": return !pure.has(operation.fn);
      case "host": return !host.has(operation.fn);
      case "map": return operation.into.some(({ entries, fold }) => !pure.has(entries) || !pure.has(fold));
      default: return false;
    }
  }

  #park(execution: Execution, index: number, kind: Command["kind"], due: Due, subject: Value): Command | undefined {
    if (this.#state.commandsFull) {
      this.fail(execution, index, { code: "FULL", message: "Too many operations are parked.", at: [], details: null });
      return undefined;
    }
    const command = this.#state.newCommand(kind, execution, index, due, subject);
    execution.status[index] = STATUS.parked;
    execution.commands.set(index, command.id);
    this.touch(execution);
    return command;
  }

  #live(id: CommandId, kind: Command["kind"]): { command?: Command; execution?: Execution } {
    const command = this.#state.commands.get(id);
    const execution = command?.kind === kind ? this.#state.executions.get(command.execution) : undefined;
    return command === undefined || execution === undefined ? {} : { command, execution };
  }

  /** Ends a command with its operation. */
  #end(command: Command, execution: Execution, result: { value: Value; bytes?: Uint8Array | undefined } | { failure: Failure }): void {
    if (!command.ended) this.#state.removeCommand(command);
    if ("failure" in result) this.fail(execution, command.operation, result.failure);
    else this.complete(execution, command.operation, [result.value], [result.bytes]);
  }

  complete(execution: Execution, index: number, values: readonly Value[], bytes?: readonly (Uint8Array | undefined)[]): void {
    const operation = execution.program.operations[index] as Operation;
    execution.stopWaiting(index);
    execution.settle(index, STATUS.done);
    const ready: number[] = [];
    for (let at = 0; at < operation.outputs.length; at++) {
      execution.write(operation.outputs[at] as number, values[at] as Value, bytes?.[at], ready);
    }
    if (operation.onError !== null) execution.skip(operation.onError);
    this.#proceed(execution, ready);
  }

  fail(execution: Execution, index: number, failure: Failure): void {
    if (execution.ended) return;
    const operation = execution.program.operations[index] as Operation;
    const located = { ...failure, at: [...failure.at, `${execution.program.program.name}/${operation.name}`] };
    if (operation.onError === null) return this.#endExecution(execution, { ok: false, failure: located });
    this.#maps.dropChildren(execution, index);
    execution.stopWaiting(index);
    execution.settle(index, STATUS.failed);
    for (const output of operation.outputs) execution.skip(output);
    const ready: number[] = [];
    execution.write(operation.onError, failureValue(located), undefined, ready);
    this.#proceed(execution, ready);
  }

  #proceed(execution: Execution, ready: readonly number[]): void {
    this.touch(execution);
    for (const operation of ready) this.#state.frontier.push(execution, operation);
    if (execution.unfinished === 0) this.#finish(execution);
  }

  #finish(execution: Execution): void {
    const value: { [port: string]: Value } = {};
    for (const { name, slot } of execution.program.program.outputs) {
      if (!execution.isWritten(slot)) {
        const message = `The output ${name} was never written: what it depends on failed or was skipped.`;
        return this.#endExecution(execution, { ok: false, failure: { code: "OUTPUT_MISSING", message, at: [execution.program.program.name], details: null } });
      }
      value[name] = execution.valueAt(slot);
    }
    this.#endExecution(execution, { ok: true, value });
  }

  /** The one place where an execution ends. */
  #endExecution(execution: Execution, outcome: Outcome): void {
    if (execution.ended) return;
    this.#dropPending(execution);
    this.#state.removeExecution(execution);
    this.#state.count(outcome.ok ? "executions-completed" : "executions-failed");
    this.#deliver(execution, outcome);
  }

  /** Ends an execution of which nobody wants to hear. */
  discard(execution: Execution): void {
    if (execution.ended) return;
    this.#dropPending(execution);
    this.#state.removeExecution(execution);
    this.#state.count("executions-cancelled");
  }

  #deliver(execution: Execution, outcome: Outcome): void {
    const state = this.#state;
    const { origin } = execution;
    switch (origin.kind) {
      case "application": {
        state.finished.add(FinishedExecution.of(execution.id, {
          program: execution.program.hash, flow: execution.program.program.name, input: inputOfExecution(execution),
          startedAt: execution.startedAt, endedAt: state.now, outcome,
        }), state.journal);
        return state.emit({ kind: "execution-finished", execution: execution.id, outcome });
      }
      case "event": return;
      case "parent": {
        const command = state.commands.get(origin.command);
        return command && this.#maps.childEnded(command, outcome);
      }
      case "peer": {
        const peer = state.peer(origin.peer);
        if (origin.oneWay || peer.session.peerLineage !== origin.lineage) return;
        const { program } = execution.program;
        if (!outcome.ok) return this.#sendFailure(peer, origin, "failed", outcome.failure);
        const ports = payloads(execution, program.outputs.map(({ name }) => name), program.outputs.map(({ slot }) => slot));
        const reports = this.requests.reports();
        try {
          this.links.sendBody(peer, { type: "reply", request: origin.request, attempt: origin.attempt, outcome: "ok", ports, reports }, "never");
        } catch (error) {
          this.#sendFailure(peer, origin, "failed", valueFailure(error, `the outputs of ${program.name}`));
        }
      }
    }
  }

  #refuse(peer: Peer, body: RequestBody, code: string, message: string): void {
    peer.counts.refusedEnvelopes++;
    this.#state.publish("envelope-refused", peer.id, { name: peer.name, code, details: message });
    this.#reply(peer, body, "refused", { code, message, at: [], details: null });
  }

  #reject(peer: Peer, body: RequestBody, failure: Failure): void {
    this.#reply(peer, body, "failed", failure);
  }

  #reply(peer: Peer, body: RequestBody, outcome: "failed" | "refused", failure: Failure): void {
    if (!body.oneWay) this.#sendFailure(peer, body, outcome, failure);
  }

  #sendFailure(peer: Peer, to: { request: number; attempt: number }, outcome: "failed" | "refused", failure: Failure): void {
    const send = (payload: Uint8Array): unknown => this.links.sendBody(peer, {
      type: "reply", request: to.request, attempt: to.attempt, outcome, ports: [{ name: "failure", payload }], reports: [],
    }, "never");
    try {
      send(encodeValue(failureValue(failure)));
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      // Of a failure that the wire does not take, what identifies it must still arrive.
      const { code, message, at } = failure;
      send(encodeValue(failureValue({ code: code.slice(0, 256), message: message.slice(0, 4096), at: at.slice(0, 16), details: null })));
    }
  }

  /** Cancels every command and child of an execution. */
  #dropPending(execution: Execution): void {
    if (!execution.isWaiting) return;
    for (const id of execution.commands.values()) {
      const command = this.#state.commands.get(id);
      if (command !== undefined) this.#dropCommand(command);
    }
    execution.commands.clear();
    for (const index of [...execution.maps.keys()]) this.#maps.dropChildren(execution, index);
    this.#maps.forget(execution);
  }

  #dropCommand(command: Command): void {
    if (command.kind === "request") return this.requests.cancel(command);
    if (command.kind === "host") this.#state.emit({ kind: "abort-host", command: command.id, reason: "cancelled" });
    this.#state.removeCommand(command);
  }

  /** After a race: what only the losers needed is cancelled, upwards from them. */
  #cancelLosers(execution: Execution, slots: readonly number[]): void {
    if (execution.ended) return;
    for (const slot of slots) {
      const index = execution.program.producers[slot];
      if (index === undefined || index < 0 || (execution.status[index] as number) > STATUS.parked) continue;
      const operation = execution.program.operations[index] as Operation;
      const outputs = operation.onError === null ? operation.outputs : [...operation.outputs, operation.onError];
      const needed = outputs.some((output) =>
        execution.program.isOutput[output] === true ||
        (execution.program.consumers[output] as readonly number[]).some((consumer) => (execution.status[consumer] as number) <= STATUS.parked));
      if (needed) continue;
      this.#maps.dropChildren(execution, index);
      const command = this.#state.commands.get(execution.commands.get(index) as CommandId);
      execution.commands.delete(index);
      if (command !== undefined) this.#dropCommand(command);
      execution.settle(index, STATUS.cancelled);
      execution.skipOutputs(index);
      this.#cancelLosers(execution, operation.inputs);
    }
    if (execution.unfinished === 0) this.#finish(execution);
  }

  touch(execution: Execution): void {
    if (execution.kept && !execution.ended) this.#state.journal.touch(execution);
  }
}

/** The input as the application gave it and the schemas left it, {port: value}: tells two starts under one id apart. */
export function inputOf(program: LinkedProgram, values: readonly Value[]): Value {
  return Object.fromEntries(program.program.inputs.map(({ name }, at) => [name, values[at] as Value]));
}

export function inputOfExecution(execution: Execution): Value {
  return inputOf(execution.program, execution.program.program.inputs.map(({ slot }) => execution.valueAt(slot)));
}

function earlier(bound: Due, now: number, deadlineNs: number | "never"): Due {
  if (deadlineNs === "never") return bound;
  const own = addNs(now, deadlineNs);
  return bound === "never" ? own : Math.min(bound, own);
}

/** The flow that will be asked with a gate's permit. */
function flowBehind({ program }: Execution, gate: Operation): string {
  const [reader] = program.consumers[gate.outputs[0] as number] ?? [];
  const outgoing = program.operations[reader as number];
  return outgoing?.kind === "call" || outgoing?.kind === "send" ? outgoing.flow : "";
}
