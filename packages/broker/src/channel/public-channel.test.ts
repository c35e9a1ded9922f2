import { channelConformance } from "./testing/channel-conformance.ts";

channelConformance("public");
