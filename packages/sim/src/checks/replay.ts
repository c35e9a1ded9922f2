import { isDeepStrictEqual } from "node:util";
import { type Effect, Engine, type EngineEvent, type Encoded, Random } from "@holdfast/core";
import { require } from "../violation.ts";
import { limitWindows } from "../world/small-window.ts";
import { sameBytes } from "./same-bytes.ts";

type Change = ReturnType<Engine["takeRecord"]>;

/** What went into an engine and what came out of it, call by call. */
type Call =
  | { readonly kind: "handle"; readonly event: EngineEvent }
  | { readonly kind: "poll"; readonly now: number; readonly wallMs: number; readonly effects: readonly Effect[] }
  | { readonly kind: "take"; readonly change: Change };

/** A life that goes on longer is replayed up to here. */
const CALLS_MAX = 20_000;

/**
 * Records one life of an engine, to live it again in a fresh one. The same events, times and moments of commit must give the
 * same commits and the same effects, byte for byte (design §4): nothing else may have gone in. Whoever looked on meanwhile,
 * took snapshots, or folded the rows, must have left no trace either.
 */
export class Recording {
  readonly #name: string;
  readonly #engine: Engine;
  readonly #rows: readonly Encoded[] | undefined;
  readonly #windowMax: number;
  readonly #begun: { readonly now: number; readonly wallMs: number; readonly random: ReturnType<Random["state"]> };
  readonly #calls: Call[] = [];

  /** From the moment on in which the engine has begun, or was restored from these rows. */
  constructor(name: string, engine: Engine, { rows, windowMax }: { rows: readonly Encoded[] | undefined; windowMax: number }) {
    const { now, wallMs, random } = engine.state;
    this.#name = name;
    this.#engine = engine;
    this.#rows = rows;
    this.#windowMax = windowMax;
    this.#begun = { now, wallMs, random: random.state() };
    const calls = this.#calls;
    const keep = (call: Call): void => void (calls.length < CALLS_MAX && calls.push(call));
    const [handle, poll, take] = [engine.handle.bind(engine), engine.poll.bind(engine), engine.takeRecord.bind(engine)];
    engine.handle = (event) => {
      const answer = handle(event);
      if (answer === "accepted") keep({ kind: "handle", event });
      return answer;
    };
    engine.poll = (at, wall) => {
      const turn = poll(at, wall);
      keep({ kind: "poll", now: at, wallMs: wall, effects: turn.effects });
      return turn;
    };
    engine.takeRecord = () => {
      const change = take();
      keep({ kind: "take", change });
      return change;
    };
  }

  /** Lives it again, and compares. True if there was anything to compare. */
  replay(): boolean {
    const { identity, definitions, options, configuredPolicy: policy, groups } = this.#engine.state;
    const engine = new Engine({ identity, definitions, options, policy, groups, seed: "" });
    limitWindows(engine, this.#windowMax);
    const { now, wallMs, random } = this.#begun;
    if (this.#rows === undefined) {
      engine.begin(now, wallMs);
      engine.state.random = Random.restore(random);
    } else engine.restore(this.#rows, now, wallMs);
    this.#calls.forEach((call, at) => this.#again(engine, call, at));
    return this.#calls.some(({ kind }) => kind === "take");
  }

  #again(engine: Engine, call: Call, at: number): void {
    switch (call.kind) {
      case "handle": return void engine.handle(call.event);
      case "poll": {
        const { effects } = engine.poll(call.now, call.wallMs);
        const same = effects.length === call.effects.length && effects.every((effect, n) => sameEffect(effect, call.effects[n] as Effect));
        return require(same, "replay", () => `${this.#name}, call ${at}: asked for ${kinds(call.effects)}, and the second time for ${kinds(effects)}`);
      }
      case "take": {
        const { puts, deletes } = engine.takeRecord();
        const differing = puts.filter(([key, bytes], n) => {
          const before = call.change.puts[n];
          return before === undefined || key !== before[0] || !sameBytes(bytes, before[1]);
        });
        const same = puts.length === call.change.puts.length && differing.length === 0 && isDeepStrictEqual(deletes, call.change.deletes);
        return require(same, "replay", () => `${this.#name}, call ${at}: the second time it stored other rows: ${differing.map(([key]) => key).join(", ")}`);
      }
    }
  }
}

function sameEffect(a: Effect, b: Effect): boolean {
  if (a.kind === "send-frame" && b.kind === "send-frame") return a.link === b.link && sameBytes(a.frame, b.frame);
  return isDeepStrictEqual(a, b);
}

function kinds(effects: readonly Effect[]): string {
  return effects.map(({ kind }) => kind).join(", ") || "nothing";
}
