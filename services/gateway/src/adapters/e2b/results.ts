// What a cell showed, as E2B's clients read it: each form under a short name, the others under their media types.
import type { CellResult, MimePart } from "@syla/contract/syla/session/v1/cell";

const names: ReadonlyMap<string, string> = new Map([
  ["text/plain", "text"],
  ["text/html", "html"],
  ["text/markdown", "markdown"],
  ["image/svg+xml", "svg"],
  ["image/png", "png"],
  ["image/jpeg", "jpeg"],
  ["application/pdf", "pdf"],
  ["text/latex", "latex"],
  ["application/json", "json"],
  ["application/javascript", "javascript"],
  ["application/vnd.syla.table+json", "data"],
  ["application/vnd.syla.chart+json", "chart"],
  // What code gives under E2B's own names is taken before what is found in its value.
  ["e2b/data", "data"],
  ["e2b/chart", "chart"],
]);

/** The forms that an interpreter makes for programs when its variable `SYLA_FORMS` has these names. */
export const formsForPrograms = "json,table,chart";

/** Those that are objects, and not the text of one. */
const structured: ReadonlySet<string> = new Set(["application/json", "e2b/data", "e2b/chart"]);

/** One line of an execution. */
export function resultLine({ main, parts }: CellResult): object {
  const known = parts.filter(({ mimeType }) => names.has(mimeType));
  const others = parts.filter(({ mimeType }) => !names.has(mimeType));
  const forms = known.flatMap((part) => {
    const name = names.get(part.mimeType) ?? part.mimeType;
    const value = name === "text" ? textOf(part, parts.length > 1) : valueOf(part);
    return value === undefined ? [] : [[name, value] as const];
  });
  const extra = Object.fromEntries(others.map((part) => [part.mimeType, valueOf(part)]));
  return {
    // Python's SDK finds them in `extra`, JavaScript's beside it.
    ...(others.length > 0 ? { ...extra, extra } : {}),
    ...Object.fromEntries(forms),
    ...{ type: "result", is_main_result: main },
  };
}

// A text is shown without its quotes, there as here. One that says nothing stands for none, where there is more.
function textOf({ data }: MimePart, hasMore: boolean): string | undefined {
  const text = data.case === "text" ? data.value : "";
  if (text === "" && hasMore) return undefined;
  return /^(['"]).*\1$/s.test(text) ? text.slice(1, -1) : text;
}

function valueOf({ mimeType, data }: MimePart): unknown {
  if (data.case === "base64") return Buffer.from(data.value).toString("base64");
  const text = data.value ?? "";
  if (!structured.has(mimeType) && !mimeType.endsWith("+json")) return text;
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // what calls itself JSON and is none
  }
}
