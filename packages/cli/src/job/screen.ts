import { createLogUpdate } from "log-update";
import { styleText } from "node:util";
import type { NodeRow, Progress } from "./progress.ts";
import { barText, nodeLine } from "./progress.ts";

/** Where a job shows what it does. */
export interface Screen {
  /** A line that stays. */
  say(text: string): void;
  /** A line that stays, for the log. */
  warn(text: string): void;
  show(progress: Progress, nodes: readonly NodeRow[]): void;
  /** Takes what moves off the screen. */
  end(): void;
}

export function openScreen(stream: NodeJS.WriteStream = process.stdout): Screen {
  return stream.isTTY === true ? terminalScreen(stream) : lineScreen(stream);
}

/** A bar and a line per node that are drawn over; everything that stays goes above them. */
function terminalScreen(stream: NodeJS.WriteStream): Screen {
  const update = createLogUpdate(stream);
  let drawn = "";
  const above = (write: () => void) => {
    update.clear();
    write();
    if (drawn !== "") update(drawn);
  };
  return {
    say: (text) => above(() => stream.write(`${text}\n`)),
    warn: (text) => above(() => process.stderr.write(`${text}\n`)),
    show: (progress, nodes) => {
      drawn = [styleText("cyan", barText(progress, Math.min(40, stream.columns - 45))), ...nodes.map(nodeLine)].join("\n");
      update(drawn);
    },
    end: () => {
      drawn = "";
      update.clear();
      update.done();
    },
  };
}

/** A line for each twentieth of the way. */
function lineScreen(stream: NodeJS.WriteStream): Screen {
  let told = -1;
  return {
    say: (text) => void stream.write(`${text}\n`),
    warn: (text) => void process.stderr.write(`${text}\n`),
    show: (progress) => {
      const twentieth = progress.total === 0 ? 0 : Math.floor((20 * progress.settled) / progress.total);
      if (twentieth <= told) return;
      told = twentieth;
      stream.write(`${barText(progress, 0)}\n`);
    },
    end: () => {},
  };
}
