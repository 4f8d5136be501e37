// The comments of the contract, which descriptors do not carry: `npm run generate` collects them beside the code it
// generates.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Comments } from "./schema.ts";

/** The comments by full name of what they are on; none when they were not generated. */
export function comments(): Comments {
  const path = fileURLToPath(import.meta.resolve("@syla/contract/comments.json"));
  try {
    return parseComments(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return {};
  }
}

function parseComments(json: unknown): Comments {
  if (typeof json !== "object" || json === null) return {};
  const entries = Object.entries(json).filter(([, text]) => typeof text === "string");
  return Object.fromEntries(entries) as Comments;
}
