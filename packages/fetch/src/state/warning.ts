/** Tells whoever runs the program, who may be nobody. */
export function warn(message: string): void {
  const { process } = globalThis as { process?: NodeJS.Process };
  if (typeof process?.emitWarning === "function") process.emitWarning(message, { type: "HoldfastWarning" });
  else console.warn(`HoldfastWarning: ${message}`);
}
