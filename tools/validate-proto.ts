// The text of buf/validate/validate.proto, printed from the descriptor inside @bufbuild/protovalidate, because no npm
// package holds the file itself. Only what a compiler needs is printed: the rules' own CEL expressions stay in the
// library, which evaluates them from its own descriptor.
import type { DescEnum, DescExtension, DescField, DescFile, DescMessage } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { file_buf_validate_validate as file } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

function typeName(field: DescField | DescExtension): string {
  if (field.message !== undefined) return `.${field.message.typeName}`;
  if (field.enum !== undefined) return `.${field.enum.typeName}`;
  return ScalarType[field.scalar ?? ScalarType.STRING].toLowerCase();
}

function printField(field: DescField | DescExtension, indent: string): string {
  if (field.fieldKind === "map") {
    const value = field.mapKind === "scalar" ? ScalarType[field.scalar].toLowerCase() : "";
    return `${indent}map<${ScalarType[field.mapKey].toLowerCase()}, ${value}> ${field.name} = ${field.number};`;
  }
  const inOneof = field.kind === "field" && field.oneof !== undefined;
  const label = field.fieldKind === "list" ? "repeated " : inOneof ? "" : "optional ";
  const type =
    field.fieldKind === "list" && field.listKind === "scalar"
      ? ScalarType[field.scalar].toLowerCase()
      : typeName(field);
  return `${indent}${label}${type} ${field.name} = ${field.number};`;
}

function printEnum(desc: DescEnum, indent: string): string[] {
  const values = desc.values.map((value) => `${indent}  ${value.name} = ${value.number};`);
  return [`${indent}enum ${desc.name} {`, ...values, `${indent}}`];
}

function printMessage(desc: DescMessage, indent: string): string[] {
  const inner = `${indent}  `;
  const ranges = desc.proto.extensionRange.map(
    (range) =>
      `${inner}extensions ${range.start} to ${(range.end ?? 0) > 536_870_000 ? "max" : (range.end ?? 0) - 1};`,
  );
  const members = desc.members.flatMap((member) =>
    member.kind === "field"
      ? [printField(member, inner)]
      : [
          `${inner}oneof ${member.name} {`,
          ...member.fields.map((f) => printField(f, `${inner}  `)),
          `${inner}}`,
        ],
  );
  return [
    `${indent}message ${desc.name} {`,
    ...desc.nestedEnums.flatMap((nested) => printEnum(nested, inner)),
    ...desc.nestedMessages.flatMap((nested) => printMessage(nested, inner)),
    ...members,
    ...ranges,
    `${indent}}`,
  ];
}

function printFile(desc: DescFile): string {
  const extensions = desc.extensions.flatMap((extension) => [
    `extend .${extension.extendee.typeName} {`,
    printField(extension, "  "),
    "}",
  ]);
  return [
    "// Printed by tools/validate-proto.ts from the descriptor in @bufbuild/protovalidate (Apache-2.0).",
    `syntax = "proto2";`,
    "",
    `package ${desc.proto.package};`,
    "",
    ...desc.dependencies.map((dependency) => `import "${dependency.proto.name}";`),
    "",
    ...desc.enums.flatMap((nested) => printEnum(nested, "")),
    ...desc.messages.flatMap((message) => printMessage(message, "")),
    ...extensions,
    "",
  ].join("\n");
}

/** The text of validate.proto, for `buf format` to put in order. */
export function printValidateProto(): string {
  return printFile(file);
}
