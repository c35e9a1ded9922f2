declare const valueType: unique symbol;

/**
 * A handle on a value that will exist when the flow runs; all that a flow's author ever holds of it. Covariant:
 * a `Port<"a">` serves where a `Port<string>` is wanted, never the other way round.
 */
export class Port<out T> {
  declare readonly [valueType]: T;
  readonly #owner: object;
  readonly #slot: number;

  constructor(owner: object, slot: number) {
    this.#owner = owner;
    this.#slot = slot;
  }

  /** The slot behind the handle; undefined if the handle belongs to the builder of another flow. */
  static slotIn(owner: object, port: Port<unknown>): number | undefined {
    return port.#owner === owner ? port.#slot : undefined;
  }

  static isPort(value: unknown): value is Port<unknown> {
    return typeof value === "object" && value !== null && #slot in value;
  }
}

/** A record of values as the record of handles on them. */
export type PortsOf<Record> = { readonly [Name in keyof Record]: Port<Record[Name]> };
