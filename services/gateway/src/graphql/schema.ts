// The GraphQL schema, made from the descriptors of the published methods: reads are queries, other unary methods are
// mutations, server streams are subscriptions. Streams of requests have no place in GraphQL.
import type { DescMethod, Message } from "@bufbuild/protobuf";
import type { CallContext } from "@syla/kit/call";
import { type BoundMethod, type Dispatcher, methodPath } from "@syla/kit/dispatch";
import {
  GraphQLBoolean,
  type GraphQLFieldConfig,
  type GraphQLFieldConfigMap,
  GraphQLObjectType,
  GraphQLSchema,
} from "graphql";
import { rootFieldOf } from "./names.ts";
import { createTypes, type GraphqlTypes, toRequestJson } from "./types.ts";
import { published } from "../published.ts";
import { readMessage } from "../read-message.ts";

/** What resolvers know of the operation they are part of. */
export interface OperationContext {
  /** The operation's call; each root field makes its own of it. */
  readonly call: CallContext;
}

type RootField = GraphQLFieldConfig<unknown, OperationContext, Readonly<Record<string, unknown>>>;

/** Makes the schema; `comments` are descriptions by full protobuf name. */
export function createSchema(
  dispatcher: Dispatcher,
  comments: Readonly<Record<string, string>> = {},
): GraphQLSchema {
  const types = createTypes(comments);
  const roots = {
    Query: new Map(),
    Mutation: new Map(),
    Subscription: new Map(),
  } as const satisfies Record<string, Map<string, RootField>>;
  const methods = published(dispatcher);
  for (const desc of methods.services.flatMap((service) => service.methods)) {
    const method = methods.method(methodPath(desc));
    const kind = rootOf(desc, method);
    if (method === undefined || kind === undefined) continue;
    const name = rootFieldOf(desc);
    if (roots[kind].has(name))
      throw new Error(`Cannot publish ${methodPath(desc)}: ${name} is taken.`);
    const description = comments[`${desc.parent.typeName}.${desc.name}`];
    roots[kind].set(name, {
      ...rootField(method, types),
      ...(description === undefined ? {} : { description }),
    });
  }
  // A schema must have a query, and a type a field.
  if (roots.Query.size === 0) roots.Query.set("_empty", { type: GraphQLBoolean });
  const root = (name: keyof typeof roots) =>
    roots[name].size === 0
      ? null
      : new GraphQLObjectType({ name, fields: parseFields(roots[name]) });
  return new GraphQLSchema({
    query: root("Query"),
    mutation: root("Mutation"),
    subscription: root("Subscription"),
  });
}

function parseFields(
  fields: ReadonlyMap<string, RootField>,
): GraphQLFieldConfigMap<unknown, OperationContext> {
  return Object.fromEntries(fields);
}

function rootOf(desc: DescMethod, method: BoundMethod | undefined) {
  if (desc.methodKind === "server_streaming") return "Subscription";
  if (desc.methodKind !== "unary") return undefined;
  return method?.policy.readOnly === true ? "Query" : "Mutation";
}

function rootField(method: BoundMethod, types: GraphqlTypes): RootField {
  const { desc, unary, stream } = method;
  const common = { type: types.output(desc.output), args: types.inputs(desc.input) };
  const request = (args: Readonly<Record<string, unknown>>): Message =>
    readMessage(method, toRequestJson(desc.input, args));
  if (unary !== undefined) {
    return { ...common, resolve: (_source, args, { call }) => unary(request(args), call.child()) };
  }
  return {
    ...common,
    subscribe: (_source, args, { call }) => stream?.(request(args), call.child()),
    // An event is the message itself.
    resolve: (message) => message,
  };
}
