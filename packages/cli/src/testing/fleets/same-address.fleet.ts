import { defineFleet } from "holdfast";

const listen = "/ip4/127.0.0.1/tcp/4123";

export default defineFleet({ name: "same-address", nodes: { ann: { listen }, bob: { listen } }, flows: [] });
