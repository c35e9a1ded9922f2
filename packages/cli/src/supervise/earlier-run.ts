import { answers, BrokerClient, DomainDirectory, isRunning, readIdentities, startBroker, trySignal } from "@holdfast/broker";

/**
 * Nodes whose `holdfast up` was killed drain by themselves, unless their broker was killed with it: then they serve on. Either
 * way the next run begins when they have ended. One that a signal has stopped is woken first.
 */
export async function drainEarlierRun(domain: string, say: (text: string) => void): Promise<void> {
  const directory = new DomainDirectory(domain);
  if (!directory.isOurs()) return;
  const left = readIdentities(directory).filter(isRunning);
  // A broker that is still there may have some that drain, and have given up their names.
  if (left.length === 0 && !(await answers(directory.door))) return;
  for (const { service, pid } of left) {
    say(`waiting for ${service} of an earlier run (process ${pid}) to drain`);
    trySignal(pid, "SIGCONT");
  }
  await startBroker(directory, new AbortController().signal, { allowRoot: true });
  using client = await BrokerClient.open(directory);
  await client.ask("quiesce");
}
