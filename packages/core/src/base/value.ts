/** What can be stored and sent: JSON, bigint and bytes. Values are immutable by convention. */
export type Value = null | boolean | number | bigint | string | Uint8Array | readonly Value[] | { readonly [key: string]: Value };
