// Names in the GraphQL schema. Each carries its package's domain, `execution_getExecution` and `Execution_Language`,
// also where the bare name would do: a name that is short because nobody else has it yet would change, and break its
// users, on the day another service is added or a gateway serves more of them.
import type { DescEnum, DescField, DescMessage, DescMethod } from "@bufbuild/protobuf";

const graphqlName = /^(?!__)[A-Za-z_]\w*$/;

/** `syla.execution.v1` is Execution, `syla.execution.v2` ExecutionV2, `grpc.health.v1` GrpcHealth. */
function domainOf(packageName: string): string {
  return packageName
    .split(".")
    .filter((part, index) => !(index === 0 && part === "syla") && part !== "v1")
    .flatMap((part) => part.split("_"))
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join("");
}

/** The name of a message's or an enum's type: `Execution_Execution_Status`. */
export function typeNameOf(desc: DescMessage | DescEnum): string {
  const packageName = desc.file.proto.package;
  const local = packageName === "" ? desc.typeName : desc.typeName.slice(packageName.length + 1);
  return `${domainOf(packageName)}_${local.replaceAll(".", "_")}`;
}

/** The name of the root field of a method: `execution_getExecution`. */
export function rootFieldOf(method: DescMethod): string {
  const domain = domainOf(method.parent.file.proto.package);
  return `${domain.charAt(0).toLowerCase()}${domain.slice(1)}_${method.localName}`;
}

/** The name of a field: that of its JSON form, where GraphQL can have it. */
export function fieldNameOf(field: DescField): string {
  return graphqlName.test(field.jsonName) ? field.jsonName : field.name;
}

/** The name of an enum's value: that of its JSON form, where GraphQL can have it. */
export function valueNameOf({
  name,
  jsonName,
}: {
  readonly name: string;
  readonly jsonName: string;
}) {
  return graphqlName.test(jsonName) && !["true", "false", "null"].includes(jsonName)
    ? jsonName
    : `_${name}`;
}
