// Finds the server-streaming route of a path. A WebSocket's handshake is always a GET, so the route's HTTP verb plays
// no part, and Fastify's router, which never sees a handshake, cannot be asked.
import { type RestRoute, verbOf } from "./routes.ts";
import { matchesShape } from "./template.ts";

/** A route and what its path's variables are. */
export interface StreamMatch {
  readonly route: RestRoute;
  /** Percent-decoded, in the order of the route's captured fields. */
  readonly captures: readonly string[];
}

/** The server-streaming route that a path, as it was sent, belongs to. */
export function matchStream(routes: readonly RestRoute[], path: string): StreamMatch | undefined {
  const verb = verbOf(path);
  for (const route of routes) {
    if (route.method.desc.methodKind !== "server_streaming") continue;
    if (route.template.verb !== "" && route.template.verb !== verb) continue;
    const bare = route.template.verb === "" ? path : path.slice(0, -verb.length - 1);
    if (!matchesShape(route.template, bare)) continue;
    const captures = capturesOf(route, bare);
    if (captures !== undefined) return { route, captures };
  }
  return undefined;
}

// An encoded slash in one segment would smuggle a longer name: such a path belongs to no route.
function capturesOf({ template }: RestRoute, path: string): readonly string[] | undefined {
  const sent = path.slice(1).split("/");
  const texts: string[] = [];
  for (const [index, part] of sent.entries()) {
    const text = decode(part);
    const isOne = template.segments[index]?.kind === "one";
    if (text === undefined || (isOne && text.includes("/"))) return undefined;
    texts.push(text);
  }
  return template.variables.map(({ start, end }) => {
    const isRest = template.segments[end - 1]?.kind === "rest";
    return texts.slice(start, isRest ? undefined : end).join("/");
  });
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
