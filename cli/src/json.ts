// Messages of the contract as JSON, as the REST surface has them.
import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import { print } from "./output.ts";

/** Prints one message. */
export function printJson<D extends DescMessage>(
  schema: D,
  message: MessageShape<D>,
): Promise<void> {
  return print(`${JSON.stringify(jsonOf(schema, message), undefined, 2)}\n`);
}

/** Prints several as an array. */
export function printJsonList<D extends DescMessage>(
  schema: D,
  messages: readonly MessageShape<D>[],
): Promise<void> {
  const list = messages.map((message) => jsonOf(schema, message));
  return print(`${JSON.stringify(list, undefined, 2)}\n`);
}

function jsonOf<D extends DescMessage>(schema: D, message: MessageShape<D>) {
  return toJson(schema, message, { alwaysEmitImplicit: true });
}
