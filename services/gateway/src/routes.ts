// Every REST route there is, made from the google.api.http options of the methods that are served. Routes of one
// shape (`/executions/*`) are one group, because Fastify's router can tell `GET /executions/1` from
// `POST /executions/1`, but not `/executions/1:cancel` from `/executions/1`: that is decided here, on the text after
// the last colon of the path as it was sent.
import { type DescField, type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { http } from "@syla/contract/google/api/annotations";
import type { HttpRule } from "@syla/contract/google/api/http";
import { type BoundMethod, type Dispatcher, methodPath } from "@syla/kit/dispatch";
import { published } from "./published.ts";
import { matchesShape, parseTemplate, routerPath, shapeOf, type Template } from "./template.ts";
import { type Binding, type BodyPart, fieldWay } from "./transcode.ts";

/** An HTTP verb that a method of the contract may be bound to. */
export type HttpVerb = "GET" | "PUT" | "POST" | "DELETE" | "PATCH";

/** One REST route: a verb and a path template, and the method it calls. */
export interface RestRoute {
  readonly httpVerb: HttpVerb;
  readonly template: Template;
  readonly method: BoundMethod;
  readonly binding: Binding;
  /** The field of the answer that is the whole body, where it is not the answer itself. */
  readonly responseField: DescField | undefined;
}

/** The routes of one shape of path. */
export interface RouteGroup {
  readonly shape: string;
  /** The path for Fastify's router. */
  readonly routerPath: string;
  readonly routes: readonly RestRoute[];
  /** By the custom verb, "" for none. */
  readonly byVerb: ReadonlyMap<string, ReadonlyMap<HttpVerb, RestRoute>>;
}

// The methods of every published service.
function publishedMethods(dispatcher: Dispatcher): readonly BoundMethod[] {
  const methods = published(dispatcher);
  return methods.services.flatMap((service) =>
    service.methods.flatMap((method) => methods.method(methodPath(method)) ?? []),
  );
}

/** The REST routes of every published method; throws when the contract binds two methods to one route. */
export function restRoutes(dispatcher: Dispatcher): readonly RestRoute[] {
  const routes = publishedMethods(dispatcher).flatMap((method) => {
    if (!hasOption(method.desc, http)) return [];
    const rule = getOption(method.desc, http);
    return [rule, ...rule.additionalBindings].map((binding) => toRoute(method, binding));
  });
  const seen = new Map<string, RestRoute>();
  for (const route of routes) {
    const key = `${route.httpVerb} ${shapeOf(route.template)}:${route.template.verb}`;
    const other = seen.get(key);
    if (other !== undefined) {
      throw new Error(`Cannot serve ${key} for ${route.method.path}: ${other.method.path} has it.`);
    }
    seen.set(key, route);
  }
  return routes;
}

function toRoute(method: BoundMethod, rule: HttpRule): RestRoute {
  const { httpVerb, path } = patternOf(method.desc, rule);
  const template = parseTemplate(path);
  const captured = template.variables.map(({ fieldPath }) => {
    const way = fieldWay(method.desc.input, fieldPath);
    if (way === undefined) throw new Error(`Cannot serve ${path}: no field ${fieldPath}.`);
    return way;
  });
  const binding = { input: method.desc.input, captured, body: bodyPart(method.desc, rule.body) };
  return { httpVerb, template, method, binding, responseField: responseField(method.desc, rule) };
}

function patternOf(desc: DescMethod, { pattern }: HttpRule): { httpVerb: HttpVerb; path: string } {
  switch (pattern.case) {
    case "get":
      return { httpVerb: "GET", path: pattern.value };
    case "put":
      return { httpVerb: "PUT", path: pattern.value };
    case "post":
      return { httpVerb: "POST", path: pattern.value };
    case "delete":
      return { httpVerb: "DELETE", path: pattern.value };
    case "patch":
      return { httpVerb: "PATCH", path: pattern.value };
    default:
      throw new Error(`Cannot serve ${methodPath(desc)}: its google.api.http names no known verb.`);
  }
}

function bodyPart(desc: DescMethod, body: string): BodyPart {
  if (body === "") return { kind: "none" };
  if (body === "*") return { kind: "all" };
  const field = desc.input.fields.find(({ name }) => name === body);
  if (field === undefined) throw new Error(`Cannot serve ${methodPath(desc)}: no field ${body}.`);
  return { kind: "field", field };
}

function responseField(desc: DescMethod, { responseBody }: HttpRule): DescField | undefined {
  if (responseBody === "") return undefined;
  const field = desc.output.fields.find(({ name }) => name === responseBody);
  if (field === undefined)
    throw new Error(`Cannot serve ${methodPath(desc)}: no field ${responseBody}.`);
  return field;
}

/** Groups routes by the shape of their paths. A verb after a literal is part of the path itself. */
export function groupRoutes(routes: readonly RestRoute[]): readonly RouteGroup[] {
  const groups = Map.groupBy(routes, ({ template }) => groupShape(template));
  return [...groups].map(([shape, members]) => {
    const byVerb = new Map<string, Map<HttpVerb, RestRoute>>();
    for (const route of members) {
      const verb = endsInCapture(route.template) ? route.template.verb : "";
      const byHttpVerb = byVerb.get(verb) ?? new Map<HttpVerb, RestRoute>();
      byVerb.set(verb, byHttpVerb.set(route.httpVerb, route));
    }
    const [first] = members;
    return {
      shape,
      routerPath: first === undefined ? shape : pathOf(first.template),
      routes: members,
      byVerb,
    };
  });
}

function endsInCapture({ segments }: Template): boolean {
  return segments.at(-1)?.kind !== "literal";
}

function groupShape(template: Template): string {
  const shape = shapeOf(template);
  return endsInCapture(template) || template.verb === "" ? shape : `${shape}:${template.verb}`;
}

function pathOf(template: Template): string {
  const path = routerPath(template);
  return endsInCapture(template) || template.verb === "" ? path : `${path}::${template.verb}`;
}

/** The custom verb of a path as it was sent: what follows the last colon of its last segment; "" for none. */
export function verbOf(path: string): string {
  const colon = path.lastIndexOf(":");
  return colon > path.lastIndexOf("/") ? path.slice(colon + 1) : "";
}

/** The HTTP verbs that a path knows, for `Allow`; empty when there is nothing at the path. */
export function allowedVerbs(groups: readonly RouteGroup[], path: string): readonly HttpVerb[] {
  const verb = verbOf(path);
  const bare = verb === "" ? path : path.slice(0, -verb.length - 1);
  const routes = groups.flatMap((group) => group.routes);
  const custom = routes.filter(
    ({ template }) => verb !== "" && template.verb === verb && matchesShape(template, bare),
  );
  const plain = routes.filter(
    ({ template }) => template.verb === "" && matchesShape(template, path),
  );
  const allowed = custom.length > 0 ? custom : plain;
  return [...new Set(allowed.map(({ httpVerb }) => httpVerb))];
}
