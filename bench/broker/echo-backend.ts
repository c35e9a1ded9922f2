/** What the benchmark connects to: answers every request at once with the same bytes. */
import { serve } from "@holdfast/broker";

await serve({ service: "echo" }, (socket) => {
  socket.on("data", (chunk) => socket.write(chunk));
  socket.on("end", () => socket.end());
});
