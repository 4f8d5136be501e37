// Documents made ready: parsed, bounded and validated, once for each text that is asked again. The bounds are on what
// a document makes the gateway do, fragments unfolded, since a short text can ask for a lot.
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLSchema,
  Kind,
  parse,
  type SelectionSetNode,
  validate,
} from "graphql";
import { SylaError } from "@syla/kit/error";

const tokensMax = 4000;
const depthMax = 16;
const aliasesMax = 64;
const costMax = 2000;
/** A root field is a call, the rest is reading what it answered. */
const callCost = 20;
const cacheEntriesMax = 500;
const cachedCharsMax = 16_384;
const errorsMax = 20;

/** A document that may be executed, or why not. */
export type Prepared = DocumentNode | readonly GraphQLError[];

/** Whether a document may be executed. */
export function isDocument(prepared: Prepared): prepared is DocumentNode {
  return !Array.isArray(prepared);
}

/** Makes what prepares the documents of a schema; the least recently used are forgotten first. */
export function createPreparer(schema: GraphQLSchema): (text: string) => Prepared {
  const cache = new Map<string, DocumentNode>();
  return (text) => {
    const known = cache.get(text);
    if (known !== undefined) {
      cache.delete(text);
      cache.set(text, known);
      return known;
    }
    const prepared = prepare(schema, text);
    if (isDocument(prepared) && text.length <= cachedCharsMax) {
      cache.set(text, prepared);
      const [oldest] = cache.keys();
      if (cache.size > cacheEntriesMax && oldest !== undefined) cache.delete(oldest);
    }
    return prepared;
  };
}

function prepare(schema: GraphQLSchema, text: string): Prepared {
  try {
    const document = parse(text, { maxTokens: tokensMax, noLocation: false });
    checkBounds(document);
    const errors = validate(schema, document, undefined, { maxErrors: errorsMax });
    return errors.length === 0 ? document : errors;
  } catch (thrown) {
    if (thrown instanceof GraphQLError) return [thrown];
    if (thrown instanceof SylaError) return [new GraphQLError(thrown.message, { cause: thrown })];
    throw thrown;
  }
}

interface Weight {
  readonly depth: number;
  readonly aliases: number;
  readonly cost: number;
}

const nothing: Weight = { depth: 0, aliases: 0, cost: 0 };

function checkBounds({ definitions }: DocumentNode): void {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION)
      fragments.set(definition.name.value, definition);
  }
  const known = new Map<string, Weight>();
  for (const definition of definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
    const weight = weigh(definition.selectionSet, fragments, known);
    const calls = definition.selectionSet.selections.length * callCost;
    refuse("depth", weight.depth, depthMax);
    refuse("number of aliases", weight.aliases, aliasesMax);
    refuse("cost", weight.cost + calls, costMax);
  }
}

function refuse(what: string, is: number, max: number): void {
  if (is <= max) return;
  throw new SylaError(
    "query_too_complex",
    `Cannot take the document: its ${what} is ${is}, at most ${max} is allowed.`,
  );
}

// Each fragment is weighed once, however often it is spread, or a few lines could take for ever to weigh.
function weigh(
  set: SelectionSetNode | undefined,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  known: Map<string, Weight>,
): Weight {
  let { depth, aliases, cost } = nothing;
  for (const selection of set?.selections ?? []) {
    const isField = selection.kind === Kind.FIELD;
    const inner =
      selection.kind === Kind.FRAGMENT_SPREAD
        ? weighFragment(selection.name.value, fragments, known)
        : weigh(selection.selectionSet, fragments, known);
    depth = Math.max(depth, inner.depth + (isField ? 1 : 0));
    aliases += inner.aliases + (isField && selection.alias !== undefined ? 1 : 0);
    cost += inner.cost + (isField ? 1 : 0);
  }
  return { depth, aliases, cost };
}

function weighFragment(
  name: string,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  known: Map<string, Weight>,
): Weight {
  const weighed = known.get(name);
  if (weighed !== undefined) return weighed;
  // A fragment that spreads itself weighs nothing here; validation refuses it.
  known.set(name, nothing);
  const weight = weigh(fragments.get(name)?.selectionSet, fragments, known);
  known.set(name, weight);
  return weight;
}
