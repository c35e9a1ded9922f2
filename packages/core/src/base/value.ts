/** What can be stored and sent: JSON, bigint and bytes. Values are immutable by convention. */
export type Value = null | boolean | number | bigint | string | Uint8Array | readonly Value[] | { readonly [key: string]: Value };

/** Largest encoded value in a slot, a cell or an event: 64 MiB. Source: design.md §5. */
export const VALUE_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Lists and maps inside each other, at most. Deep enough for hand-made data, shallow enough that no recursion over a
 * value comes near the end of the stack (V8 needs thousands of levels for that).
 */
export const VALUE_DEPTH_MAX = 64;
