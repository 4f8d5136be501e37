// gRPC server reflection, v1 and v1alpha: clients without descriptors (grpcurl, buf curl, Postman) ask for them here.
// Both versions have the same bytes on the wire, so v1 answers and v1alpha is translated by re-reading.
import {
  create,
  type DescFile,
  type DescMessage,
  type DescService,
  fromBinary,
  type Message,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import {
  ErrorResponseSchema,
  ExtensionNumberResponseSchema,
  FileDescriptorResponseSchema,
  ListServiceResponseSchema,
  ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "@syla/contract/grpc/reflection/v1/reflection";
import {
  ServerReflection as ServerReflectionAlpha,
  ServerReflectionRequestSchema as AlphaRequestSchema,
  ServerReflectionResponseSchema as AlphaResponseSchema,
} from "@syla/contract/grpc/reflection/v1alpha/reflection";
import { type Implementation, implement } from "@syla/kit/dispatch";
import { statuses } from "@syla/kit/error-status";

type Answer = ServerReflectionResponse["messageResponse"];

/** The implementations of both reflection services, over the services given and themselves. */
export function reflection(services: readonly DescService[]): readonly Implementation[] {
  const index = indexOf([...services, ServerReflection, ServerReflectionAlpha]);
  const answer = (request: ServerReflectionRequest) =>
    create(ServerReflectionResponseSchema, {
      validHost: request.host,
      originalRequest: request,
      messageResponse: answerTo(index, request),
    });
  return [
    implement(ServerReflection, {
      serverReflectionInfo: async function* (requests) {
        for await (const request of requests) yield answer(request);
      },
    }),
    implement(ServerReflectionAlpha, {
      serverReflectionInfo: async function* (requests) {
        for await (const request of requests) {
          const question = reread(AlphaRequestSchema, request, ServerReflectionRequestSchema);
          yield reread(ServerReflectionResponseSchema, answer(question), AlphaResponseSchema);
        }
      },
    }),
  ];
}

function reread<T extends DescMessage>(
  from: DescMessage,
  message: Message,
  to: T,
): MessageShape<T> {
  return fromBinary(to, toBinary(from, message));
}

interface Index {
  readonly services: readonly string[];
  readonly byName: ReadonlyMap<string, DescFile>;
  readonly bySymbol: ReadonlyMap<string, DescFile>;
  /** By the extended message's name, then by field number. */
  readonly extensions: ReadonlyMap<string, ReadonlyMap<number, DescFile>>;
}

function indexOf(services: readonly DescService[]): Index {
  const byName = new Map<string, DescFile>();
  const bySymbol = new Map<string, DescFile>();
  const extensions = new Map<string, Map<number, DescFile>>();
  for (const file of services.flatMap((service) => withImports(service.file))) {
    if (byName.has(file.proto.name)) continue;
    byName.set(file.proto.name, file);
    for (const symbol of symbolsOf(file)) bySymbol.set(symbol, file);
    for (const type of nestedTypes(file)) {
      if (type.kind !== "extension") continue;
      const numbers = extensions.get(type.extendee.typeName) ?? new Map<number, DescFile>();
      extensions.set(type.extendee.typeName, numbers.set(type.number, file));
    }
  }
  const names = services.map((service) => service.typeName).toSorted();
  return { services: names, byName, bySymbol, extensions };
}

function withImports(file: DescFile, seen = new Set<DescFile>()): DescFile[] {
  if (seen.has(file)) return [];
  seen.add(file);
  return [file, ...file.dependencies.flatMap((dependency) => withImports(dependency, seen))];
}

function* symbolsOf(file: DescFile): Generator<string> {
  for (const type of nestedTypes(file)) {
    yield type.typeName;
    if (type.kind === "message") {
      for (const member of [...type.fields, ...type.oneofs])
        yield `${type.typeName}.${member.name}`;
    } else if (type.kind === "service") {
      for (const method of type.methods) yield `${type.typeName}.${method.name}`;
    } else if (type.kind === "enum") {
      // An enum's values are named beside it, not inside it.
      const scope = type.typeName.slice(0, type.typeName.lastIndexOf(".") + 1);
      for (const value of type.values) yield scope + value.name;
    }
  }
}

function answerTo(index: Index, { messageRequest }: ServerReflectionRequest): Answer {
  switch (messageRequest.case) {
    case "fileByFilename":
      return files(index.byName.get(messageRequest.value), messageRequest.value);
    case "fileContainingSymbol":
      return files(index.bySymbol.get(messageRequest.value), messageRequest.value);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = messageRequest.value;
      const file = index.extensions.get(containingType)?.get(extensionNumber);
      return files(file, `extension ${extensionNumber} of ${containingType}`);
    }
    case "allExtensionNumbersOfType": {
      const baseTypeName = messageRequest.value;
      if (!index.bySymbol.has(baseTypeName)) return notFound(baseTypeName);
      const extensionNumber = [...(index.extensions.get(baseTypeName)?.keys() ?? [])];
      const value = create(ExtensionNumberResponseSchema, { baseTypeName, extensionNumber });
      return { case: "allExtensionNumbersResponse", value };
    }
    case "listServices": {
      const service = index.services.map((name) => ({ name }));
      return {
        case: "listServicesResponse",
        value: create(ListServiceResponseSchema, { service }),
      };
    }
    default:
      return error(statuses.invalid_argument.grpc, "The question is empty.");
  }
}

const serialised = new WeakMap<DescFile, Uint8Array>();

function serialise(file: DescFile): Uint8Array {
  const known = serialised.get(file);
  if (known !== undefined) return known;
  const bytes = toBinary(FileDescriptorProtoSchema, file.proto);
  serialised.set(file, bytes);
  return bytes;
}

function files(file: DescFile | undefined, asked: string): Answer {
  if (file === undefined) return notFound(asked);
  const fileDescriptorProto = withImports(file).map(serialise);
  return {
    case: "fileDescriptorResponse",
    value: create(FileDescriptorResponseSchema, { fileDescriptorProto }),
  };
}

function notFound(asked: string): Answer {
  return error(statuses.not_found.grpc, `Cannot find ${asked}: it is not served here.`);
}

function error(errorCode: number, errorMessage: string): Answer {
  return { case: "errorResponse", value: create(ErrorResponseSchema, { errorCode, errorMessage }) };
}
