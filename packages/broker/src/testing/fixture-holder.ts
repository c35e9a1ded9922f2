/** A process that holds a lease until it is killed: `ROOT DOMAIN SERVICES(JSON)`. It prints every event as a line. */
import { BrokerClient } from "../client/broker-client.ts";
import { DomainDirectory } from "../runtime/domain-directory.ts";

const [root, domain, services] = process.argv.slice(2) as [string, string, string];
const client = await BrokerClient.open(new DomainDirectory(domain, root));
client.onEvent = (event) => console.log(JSON.stringify(event));
await client.ask("lease", { pid: process.pid, services: JSON.parse(services) });
