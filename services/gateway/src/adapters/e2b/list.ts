// The list of E2B's sandboxes: page by page, by metadata and state.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import type { Client } from "@syla/kit/client";
import { type AdapterRequest, jsonReply, type WholeReply } from "../../adapters.ts";
import { errorReply, Refusal } from "./errors.ts";
import { listed, TEMPLATE } from "./view.ts";

const pageMax = 100;
const states = ["running", "paused"];

/** Answers a page; `state` is what is listed when nothing else is asked for. */
export async function listSandboxes(
  sandboxes: Client<typeof SandboxService>,
  { query, context }: AdapterRequest,
  state: string,
): Promise<WholeReply> {
  const limit = Number(query.get("limit") ?? pageMax);
  if (!Number.isInteger(limit) || limit < 1 || limit > pageMax) {
    return errorReply(400, `limit must be between 1 and ${pageMax}`);
  }
  const wanted = (query.getAll("state").join(",") || state)
    .split(",")
    .filter((name) => name !== "");
  const unknown = wanted.find((name) => !states.includes(name));
  if (unknown !== undefined)
    return errorReply(400, `state '${unknown}' is none of ${states.join(", ")}`);
  if (query.get("order") === "asc") {
    return errorReply(400, "order 'asc' is not supported: the newest come first");
  }
  if ((query.get("template") ?? TEMPLATE) !== TEMPLATE) return jsonReply(200, []);
  const request = {
    pageSize: limit,
    pageToken: query.get("nextToken") ?? "",
    filter: [...stateFilter(wanted), ...metadataFilter(query.get("metadata") ?? "")].join(" AND "),
  };
  const page = await sandboxes.listSandboxes(request, { parent: context });
  const startedAfter = query.get("startedAfter");
  const afterMs = startedAfter === null ? -Infinity : Date.parse(startedAfter);
  const young = page.sandboxes.filter(({ createdAt }) => {
    return createdAt === undefined || !(timestampMs(createdAt) <= afterMs);
  });
  // The newest come first: once there is one that is too old, so are all that follow.
  if (page.nextPageToken !== "" && young.length === page.sandboxes.length) {
    context.responseHeaders.set("x-next-token", page.nextPageToken);
  }
  return jsonReply(200, young.map(listed));
}

function stateFilter(wanted: readonly string[]): string[] {
  const [one] = wanted;
  if (wanted.length === 1 && one !== undefined) return [`status = "${one.toUpperCase()}"`];
  return ['status != "ENDED"', 'status != "LOST"'];
}

const filterKey = /^[\p{L}\p{N}_.:/+-]+$/u;

// E2B's clients encode keys and values, and then all of it once more.
function metadataFilter(text: string): string[] {
  return [...new URLSearchParams(text)].map(([encoded, value]) => {
    const key = decoded(encoded);
    if (!filterKey.test(key)) {
      throw new Refusal("invalid_argument", `cannot list by the metadata key '${key}'`);
    }
    return `metadata.${key} = "${decoded(value).replaceAll(/["\\]/g, String.raw`\$&`)}"`;
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
