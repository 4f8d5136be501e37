// Path templates of google.api.http (google/api/http.proto): `/v1/{name=shelves/*}/books/{id}:verb`. A template is
// a row of segments, each a literal, one segment of anything (`*`) or the rest of the path (`**`); variables name
// stretches of it.

/** One part of a path between slashes. */
export type Segment =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "one" }
  | { readonly kind: "rest" };

/** A request field and the segments, from `start` up to `end`, whose text is its value. */
export interface Variable {
  readonly fieldPath: string;
  readonly start: number;
  readonly end: number;
}

/** A parsed path template. */
export interface Template {
  readonly text: string;
  readonly segments: readonly Segment[];
  readonly variables: readonly Variable[];
  /** What follows the last colon; "" when there is none. */
  readonly verb: string;
}

const part = /\{([A-Za-z_][\w.]*)(?:=([^{}]+))?\}|([^{}/]+)|(\/)/gy;

/** Parses a path template; throws when it is not one, which is a fault of the contract. */
export function parseTemplate(text: string): Template {
  const segments: Segment[] = [];
  const variables: Variable[] = [];
  const { path, verb } = splitVerb(text);
  part.lastIndex = 0;
  while (part.lastIndex < path.length) {
    const match = part.exec(path);
    if (match === null) throw new Error(`Cannot read the path template ${text}.`);
    const [, fieldPath, pattern = "*", literal, slash] = match;
    if (slash !== undefined) continue;
    const start = segments.length;
    if (fieldPath === undefined) segments.push(toSegment(literal ?? ""));
    else segments.push(...pattern.split("/").map(toSegment));
    if (fieldPath !== undefined) variables.push({ fieldPath, start, end: segments.length });
  }
  const rest = segments.findIndex(({ kind }) => kind === "rest");
  if (!path.startsWith("/") || (rest !== -1 && rest !== segments.length - 1)) {
    throw new Error(`Cannot serve the path template ${text}: ** may only stand at its end.`);
  }
  return { text, segments, variables, verb };
}

function splitVerb(text: string): { path: string; verb: string } {
  const colon = text.lastIndexOf(":");
  if (colon < Math.max(text.lastIndexOf("/"), text.lastIndexOf("}")))
    return { path: text, verb: "" };
  return { path: text.slice(0, colon), verb: text.slice(colon + 1) };
}

function toSegment(text: string): Segment {
  if (text === "*") return { kind: "one" };
  if (text === "**") return { kind: "rest" };
  return { kind: "literal", text };
}

/** What the path is without its variables' names: templates of the same shape share one route. */
export function shapeOf(template: Template): string {
  const parts = template.segments.map((segment) => {
    if (segment.kind === "literal") return `/${segment.text}`;
    return segment.kind === "one" ? "/*" : "/**";
  });
  return parts.join("");
}

/** The path as Fastify's router takes it: `:1` for one segment, `*` for the rest. */
export function routerPath(template: Template): string {
  const parts = template.segments.map((segment, index) => {
    if (segment.kind === "literal") return `/${segment.text.replaceAll(":", "::")}`;
    return segment.kind === "one" ? `/:${index}` : "/*";
  });
  return parts.join("");
}

/** Whether the path, percent-encoded as it came and without query or verb, has a template's shape. */
export function matchesShape(template: Template, path: string): boolean {
  const given = path.slice(1).split("/");
  const { segments } = template;
  const open = segments.at(-1)?.kind === "rest";
  if (open ? given.length < segments.length : given.length !== segments.length) return false;
  return segments.every((segment, index) => {
    const text = given[index] ?? "";
    return segment.kind === "literal" ? segment.text === text : text !== "";
  });
}
