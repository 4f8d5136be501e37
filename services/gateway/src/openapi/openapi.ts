// The description of the REST surface (OpenAPI 3.1), made from the same routes that serve it: what it says of paths,
// fields and rules cannot differ from what happens. Its words are the comments of the contract.
import type { DescField, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { catalogue } from "@syla/kit/error";
import {
  type Comments,
  described,
  fieldSchema,
  messageSchema,
  objectSchema,
  type Schemas,
} from "./schema.ts";
import { isRequired } from "./rules.ts";
import { problemType } from "../problem.ts";
import { rangeField, rawRequestField, rawResponseField } from "../raw.ts";
import type { RestRoute } from "../routes.ts";
import { isTextual } from "../transcode.ts";

/** What the description says of itself. */
export interface OpenApiInfo {
  readonly version: string;
  /** Comments of the contract by full name; without them the description is only shorter. */
  readonly comments: Comments;
}

const parameterDepthMax = 3;

/** The OpenAPI document of the routes. */
export function openApiDocument(routes: readonly RestRoute[], info: OpenApiInfo): JsonObject {
  const schemas: Schemas = { components: { Problem: problemSchema() }, comments: info.comments };
  const paths: Record<string, JsonObject> = {};
  const ids = new Set<string>();
  for (const route of routes) {
    const item = (paths[pathOf(route)] ??= {});
    item[route.httpVerb.toLowerCase()] = operation(route, operationId(route, ids), schemas);
  }
  const services = new Set(routes.map(({ method }) => method.desc.parent));
  return {
    openapi: "3.1.0",
    info: {
      title: "Syla",
      version: info.version,
      description:
        "Runs code you do not trust. Every error is a problem (RFC 9457) with a stable `code`.",
      license: { name: "MIT", identifier: "MIT" },
    },
    tags: [...services].map((service) => ({
      name: service.name,
      ...described(info.comments[service.typeName]),
    })),
    paths,
    components: {
      schemas: schemas.components,
      responses: {
        Problem: {
          description: "What went wrong.",
          content: { [problemType]: { schema: { $ref: "#/components/schemas/Problem" } } },
        },
      },
    },
  };
}

function pathOf({ template }: RestRoute): string {
  const path = template.text.replaceAll(/\{([\w.]+)=[^}]*\}/g, "{$1}");
  return path;
}

function operationId({ method, httpVerb }: RestRoute, ids: Set<string>): string {
  const id = `${method.desc.parent.typeName}.${method.desc.name}`;
  const free = ids.has(id) ? `${id}.${httpVerb.toLowerCase()}${ids.size}` : id;
  ids.add(free);
  return free;
}

function operation(route: RestRoute, id: string, schemas: Schemas): JsonObject {
  const { desc, policy } = route.method;
  const comment = schemas.comments[`${desc.parent.typeName}.${desc.name}`];
  const [summary = desc.name] = (comment ?? desc.name).split(/(?<=\.)\s/, 1);
  const parameters = [...pathParameters(route, schemas), ...queryParameters(route, schemas)];
  if (policy.resumeField !== undefined) parameters.push(resumeParameter());
  if (isRawPart(route)) parameters.push(rangeParameter());
  const body = requestBody(route, schemas);
  return {
    operationId: id,
    tags: [desc.parent.name],
    summary: summary.replace(/\.$/, ""),
    ...described(comment),
    ...(desc.deprecated ? { deprecated: true } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: body }),
    responses: responses(route, schemas),
  };
}

function pathParameters({ template, binding }: RestRoute, schemas: Schemas): JsonObject[] {
  return template.variables.map(({ fieldPath }, index) => {
    const leaf = binding.captured[index]?.at(-1);
    const schema = leaf === undefined ? { type: "string" } : fieldSchema(leaf, schemas);
    return { name: fieldPath, in: "path", required: true, ...lifted(schema) };
  });
}

// A parameter has its description beside its schema.
function lifted({ description, ...schema }: JsonObject): JsonObject {
  return { ...(description === undefined ? {} : { description }), schema };
}

function queryParameters({ binding }: RestRoute, schemas: Schemas): JsonObject[] {
  if (binding.body.kind === "all") return [];
  const { body, captured } = binding;
  const taken = (field: DescField) =>
    (body.kind === "field" && body.field === field) || captured.some((way) => way[0] === field);
  const fields = binding.input.fields.filter((field) => !taken(field));
  return fields.flatMap((field) => parametersOf(field, [], schemas));
}

function parametersOf(field: DescField, above: readonly string[], schemas: Schemas): JsonObject[] {
  const names = [...above, field.jsonName];
  if (isTextual(field)) {
    const required = above.length === 0 && isRequired(field);
    const parameter = {
      name: names.join("."),
      in: "query",
      ...lifted(fieldSchema(field, schemas)),
    };
    return [required ? { ...parameter, required } : parameter];
  }
  if (field.fieldKind !== "message" || names.length >= parameterDepthMax) return [];
  return field.message.fields.flatMap((inner) => parametersOf(inner, names, schemas));
}

function resumeParameter(): JsonObject {
  return {
    name: "Last-Event-ID",
    in: "header",
    description: "The id of the last event already seen; the stream goes on after it.",
    schema: { type: "string" },
  };
}

function isRawPart(route: RestRoute): boolean {
  return rawResponseField(route) !== undefined && rangeField(route.method) !== undefined;
}

function rangeParameter(): JsonObject {
  return {
    name: "Range",
    in: "header",
    description: "One range of bytes, for example `bytes=0-1023`; the answer is then 206.",
    schema: { type: "string" },
  };
}

// OpenAPI 3.1 says of bytes as they are nothing but their media type.
function bytesContent(description: string): JsonObject {
  return { "application/octet-stream": { schema: { description } } };
}

function requestBody(route: RestRoute, schemas: Schemas): JsonObject | undefined {
  const { method, binding } = route;
  const { body, captured, input } = binding;
  if (body.kind === "none") return undefined;
  if (rawRequestField(route) !== undefined) {
    return { required: true, content: bytesContent("The bytes as they are, of any number.") };
  }
  const rest = input.fields.filter((field) => !captured.some((way) => way[0] === field));
  if (body.kind === "all" && rest.length === 0) return undefined;
  const whole = rest.length === input.fields.length;
  const schema =
    body.kind === "field"
      ? fieldSchema(body.field, schemas)
      : whole
        ? messageSchema(input, schemas)
        : objectSchema(input, rest, schemas);
  const examples: JsonObject = {};
  for (const [index, { title, requestJson }] of method.policy.examples.entries()) {
    examples[`example${index + 1}`] = { summary: title, value: parseJson(requestJson) };
  }
  const hasExamples = Object.keys(examples).length > 0;
  return {
    required: body.kind === "field" ? isRequired(body.field) : rest.some(isRequired),
    content: { "application/json": { schema, ...(hasExamples ? { examples } : {}) } },
  };
}

function parseJson(text: string): JsonValue {
  return JSON.parse(text) as JsonValue;
}

function responses(route: RestRoute, schemas: Schemas): JsonObject {
  const { desc, policy } = route.method;
  const status = policy.location === undefined ? "200" : "201";
  const location = {
    Location: { description: "The path of what was created.", schema: { type: "string" } },
  };
  return {
    [status]: {
      description: schemas.comments[desc.output.typeName] ?? desc.output.name,
      ...(policy.location === undefined ? {} : { headers: location }),
      content: contentOf(route, schemas),
    },
    default: { $ref: "#/components/responses/Problem" },
  };
}

function contentOf(route: RestRoute, schemas: Schemas): JsonObject {
  if (rawResponseField(route) !== undefined) return bytesContent("The bytes as they are.");
  const isOne = route.method.unary !== undefined || rawRequestField(route) !== undefined;
  return isOne ? answerContent(route, schemas) : streamContent(route, schemas);
}

function answerContent({ method, responseField }: RestRoute, schemas: Schemas): JsonObject {
  const schema =
    responseField === undefined
      ? messageSchema(method.desc.output, schemas)
      : fieldSchema(responseField, schemas);
  return { "application/json": { schema } };
}

function streamContent({ method }: RestRoute, schemas: Schemas): JsonObject {
  const { desc, policy } = method;
  const foreign = policy.serverSentEvents;
  const events =
    foreign === undefined
      ? `Server-sent events; the data of each is a ${desc.output.name} in JSON. \`event: end\` ends the stream, \`event: error\` has a problem as its data.`
      : `Server-sent events; the data of each is the text of \`${foreign.dataField}\`. An error is the data \`${foreign.errorPrefix}...\`; \`event: ${foreign.endEvent}\` ends the stream.`;
  return {
    "text/event-stream": { schema: { type: "string", description: events } },
    "application/x-ndjson": { schema: messageSchema(desc.output, schemas) },
  };
}

function problemSchema(): JsonObject {
  const text = { type: "string" };
  return {
    type: "object",
    description: "An error (RFC 9457).",
    required: ["type", "title", "status", "detail", "code", "instance", "requestId"],
    properties: {
      type: { ...text, format: "uri", description: "`urn:syla:error:` and the code." },
      title: { ...text, description: "The code in words." },
      status: { type: "integer", description: "The HTTP status." },
      detail: { ...text, description: "What happened, for a person; not stable." },
      code: { ...text, description: "Stable.", enum: Object.keys(catalogue) },
      instance: { ...text, description: "The path that was asked for." },
      requestId: { ...text, description: "Finds the call in the log." },
      errors: { type: "array", description: "Every wrong field.", items: violationSchema() },
    },
  };
}

function violationSchema(): JsonObject {
  const text = { type: "string" };
  return {
    type: "object",
    required: ["pointer", "detail", "rule"],
    properties: {
      pointer: { ...text, description: "JSON pointer of the field (RFC 6901)." },
      detail: { ...text, description: "What is wrong with it." },
      rule: { ...text, description: "The rule it breaks; stable." },
    },
  };
}
