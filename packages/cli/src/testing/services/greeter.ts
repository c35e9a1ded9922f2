/** A backend: answers every connection with a greeting, and its own version. */
import { serve } from "@holdfast/broker";

const backend = await serve({ service: "greeter" }, (socket) => {
  socket.on("data", (name) => socket.end(`hello ${String(name)} from ${backend.key.version}`));
});
