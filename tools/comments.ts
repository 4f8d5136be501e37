// The comments of a contract by full name. Generated code carries descriptors without comments, and the
// documentation that the platform serves is made from descriptors, so the comments are kept beside them.
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
  type ServiceDescriptorProto,
} from "@bufbuild/protobuf/wkt";
import { fromBinary } from "@bufbuild/protobuf";

// Field numbers in google/protobuf/descriptor.proto: a comment's place is the path of numbers and indexes to the thing.
const fileMessage = 4;
const fileEnum = 5;
const fileService = 6;
const fileExtension = 7;
const messageField = 2;
const messageNested = 3;
const messageEnum = 4;
const messageOneof = 8;
const enumValue = 2;
const serviceMethod = 2;

/** Takes the name and the place of one thing that can have a comment. */
type Visit = (fullName: string, path: readonly number[]) => void;

/** Reads an image that `buf build` wrote. */
export function parseImage(bytes: Uint8Array): FileDescriptorSet {
  return fromBinary(FileDescriptorSetSchema, bytes);
}

/**
 * The text of every comment in the files of an image whose package is one of `packages` or below it. A name is
 * `<package>.<Message>`, `<Message>.<field>`, `<Enum>.<VALUE>` or `<Service>.<Method>`; sorted by name.
 */
export function collectComments(
  image: FileDescriptorSet,
  packages: readonly string[],
): Readonly<Record<string, string>> {
  const found: [string, string][] = [];
  for (const file of image.file) {
    if (!packages.some((name) => `${file.package}.`.startsWith(`${name}.`))) continue;
    const comments = commentsByPath(file);
    visitFile(file, (fullName, path) => {
      const text = comments.get(path.join("."));
      if (text !== undefined) found.push([fullName, text]);
    });
  }
  return Object.fromEntries(found.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function commentsByPath(file: FileDescriptorProto): ReadonlyMap<string, string> {
  const locations = file.sourceCodeInfo?.location ?? [];
  const entries = locations.flatMap(({ path, leadingComments, trailingComments }) => {
    const text = flow(leadingComments === "" ? trailingComments : leadingComments);
    return text === "" ? [] : [[path.join("."), text] as const];
  });
  return new Map(entries);
}

/** Joins the lines of a paragraph: where they were broken is the .proto's matter, not the reader's. */
function flow(comment: string): string {
  return comment
    .split(/\n[ \t]*\n/)
    .map((paragraph) => paragraph.trim().replaceAll(/[ \t]*\n[ \t]*(?![-*] )/g, " "))
    .filter((paragraph) => paragraph !== "")
    .join("\n\n");
}

function visitFile(file: FileDescriptorProto, visit: Visit): void {
  for (const [index, message] of file.messageType.entries()) {
    visitMessage(message, file.package, [fileMessage, index], visit);
  }
  for (const [index, desc] of file.enumType.entries()) {
    visitEnum(desc, file.package, [fileEnum, index], visit);
  }
  for (const [index, service] of file.service.entries()) {
    visitService(service, file.package, [fileService, index], visit);
  }
  for (const [index, extension] of file.extension.entries()) {
    visit(`${file.package}.${extension.name}`, [fileExtension, index]);
  }
}

function visitMessage(
  message: DescriptorProto,
  parent: string,
  path: readonly number[],
  visit: Visit,
): void {
  // The entry of a map field is a message that nobody wrote.
  if (message.options?.mapEntry === true) return;
  const fullName = `${parent}.${message.name}`;
  visit(fullName, path);
  for (const [index, field] of message.field.entries()) {
    visit(`${fullName}.${field.name}`, [...path, messageField, index]);
  }
  const synthetic = new Set(
    message.field.filter((field) => field.proto3Optional).map((field) => field.oneofIndex),
  );
  for (const [index, oneof] of message.oneofDecl.entries()) {
    if (!synthetic.has(index)) visit(`${fullName}.${oneof.name}`, [...path, messageOneof, index]);
  }
  for (const [index, nested] of message.nestedType.entries()) {
    visitMessage(nested, fullName, [...path, messageNested, index], visit);
  }
  for (const [index, desc] of message.enumType.entries()) {
    visitEnum(desc, fullName, [...path, messageEnum, index], visit);
  }
}

function visitEnum(
  desc: EnumDescriptorProto,
  parent: string,
  path: readonly number[],
  visit: Visit,
): void {
  const fullName = `${parent}.${desc.name}`;
  visit(fullName, path);
  for (const [index, value] of desc.value.entries()) {
    visit(`${fullName}.${value.name}`, [...path, enumValue, index]);
  }
}

function visitService(
  service: ServiceDescriptorProto,
  parent: string,
  path: readonly number[],
  visit: Visit,
): void {
  const fullName = `${parent}.${service.name}`;
  visit(fullName, path);
  for (const [index, method] of service.method.entries()) {
    visit(`${fullName}.${method.name}`, [...path, serviceMethod, index]);
  }
}
