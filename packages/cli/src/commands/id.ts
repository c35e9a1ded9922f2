import { FleetDirectory } from "../fleet/fleet-directory.ts";

/** Of one node only the id, so that scripts can take it. */
export function id(node: string | undefined, { data }: { readonly data?: string }): void {
  const directory = FleetDirectory.find(data);
  if (node !== undefined) return console.log(directory.node(node).id);
  for (const { name, id: peer } of directory.read().nodes) console.log(`${name}  ${peer}`);
}
