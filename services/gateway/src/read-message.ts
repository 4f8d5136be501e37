// A request message from JSON that stands for the whole of it, as WebSocket and GraphQL have it.
import type { JsonValue, Message } from "@bufbuild/protobuf";
import type { BoundMethod } from "@syla/kit/dispatch";
import { transcode } from "./transcode.ts";

/** The request of a method; throws `invalid_request` with every fault and its pointer. */
export function readMessage(method: BoundMethod, json: JsonValue | undefined): Message {
  const binding = { input: method.desc.input, captured: [], body: { kind: "all" } } as const;
  return transcode(binding, { captures: [], query: {}, body: json });
}
