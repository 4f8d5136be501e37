// What a sandbox begins with, where it does not begin empty: a template's files and settings, a snapshot's files, or
// those of the sandbox that it is forked from.
import type { SandboxLimits, SandboxSpec } from "@syla/contract/syla/sandbox/v1/sandbox";
import { Template_Status as Status } from "@syla/contract/syla/sandbox/v1/template";
import { SylaError } from "@syla/kit/error";
import type { Sql } from "@syla/kit/sql";
import type { Blobs } from "./blobs.ts";
import { readSnapshot } from "./snapshot-store.ts";
import { readTemplate } from "./template-store.ts";
import type { Tree, Trees } from "./trees.ts";

export interface Origin {
  /** Its files, as a stream of tree-copy.ts; asked for once. */
  readonly content: () => Promise<AsyncIterable<Buffer>>;
  /** The same as a folder, where there is one; whoever takes it releases it. */
  readonly takeTree: () => Tree | undefined;
  readonly language: string;
  readonly version: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where processes start that name no folder. */
  readonly directory: string;
  readonly limits: SandboxLimits | undefined;
  readonly template: string;
  readonly snapshot: string;
}

export interface OriginsOptions {
  readonly sql: Sql;
  readonly blobs: Blobs;
  /** Undefined on a host that cannot isolate. */
  readonly trees: Trees | undefined;
}

/** What a spec begins with; undefined when that is nothing. */
export async function findOrigin(
  options: OriginsOptions,
  { template, snapshot }: SandboxSpec,
): Promise<Origin | undefined> {
  if (template !== "" && snapshot !== "") {
    const detail = "cannot be given with a snapshot: a sandbox begins with one of them";
    throw new SylaError("invalid_request", `The template ${detail}.`, {
      violations: [{ pointer: "/template", detail, rule: "origin" }],
    });
  }
  if (template !== "") return ofTemplate(options, template);
  return snapshot === "" ? undefined : ofSnapshot(options, snapshot);
}

async function ofTemplate({ sql, blobs, trees }: OriginsOptions, name: string): Promise<Origin> {
  const found = await readTemplate(sql, name);
  if (found === undefined) throw templateNotFound(name);
  if (found.status !== Status.READY) {
    const why = found.status === Status.BUILDING ? "it is being built" : "its build failed";
    throw new SylaError("template_not_ready", `Cannot use template ${name}: ${why}.`);
  }
  const { language, version, env, directory, limits, digest } = found;
  const content = contentOf(blobs, digest, `template ${name}`);
  const files = { content, takeTree: () => trees?.use(digest) };
  return { ...files, language, version, env, directory, limits, template: name, snapshot: "" };
}

async function ofSnapshot({ sql, blobs }: OriginsOptions, id: string): Promise<Origin> {
  const found = await readSnapshot(sql, id);
  if (found === undefined) throw snapshotNotFound(id);
  const { language, version } = found;
  const none = { env: {}, directory: "", limits: undefined, template: "" };
  // Most are begun with once: a tree would be written to the disk for that.
  const files = {
    content: contentOf(blobs, found.digest, `snapshot ${id}`),
    takeTree: () => undefined,
  };
  return { ...files, language, version, ...none, snapshot: id };
}

/** Looks at once whether it is there, and opens it when it is asked for. */
function contentOf(blobs: Blobs, digest: string, what: string): Origin["content"] {
  if (blobs.sizeOf(digest) === undefined) throw notHere(what);
  return async () => {
    const content = await blobs.read(digest);
    if (content === undefined) throw notHere(what);
    return content;
  };
}

export function templateNotFound(name: string): SylaError {
  return new SylaError("template_not_found", `Cannot find a template with the name ${name}.`);
}

export function snapshotNotFound(id: string): SylaError {
  return new SylaError("snapshot_not_found", `Cannot find a snapshot with the id ${id}.`);
}

function notHere(what: string): SylaError {
  return new SylaError(
    "snapshot_lost",
    `Cannot use ${what}: its files are not in this platform's data folder.`,
  );
}
