// E2B's forks and snapshots: copies of a sandbox's files. A snapshot is, for E2B, a template to begin with; its id is
// Syla's own.
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { SnapshotService } from "@syla/contract/syla/sandbox/v1/snapshot";
import type { TemplateService } from "@syla/contract/syla/sandbox/v1/template";
import type { Client } from "@syla/kit/client";
import type { LocalKey } from "@syla/kit/local-key";
import { type AdapterRequest, jsonReply, type WholeReply } from "../../adapters.ts";
import { accessOf, isSandboxId } from "./access.ts";
import { errorReply } from "./errors.ts";
import { Fields } from "./fields.ts";
import { created } from "./view.ts";

/** What copies are made with. */
export interface SnapshotOptions {
  readonly snapshots: Client<typeof SnapshotService>;
  readonly templates: Client<typeof TemplateService>;
  /** Below which each port of a sandbox has a name. */
  readonly portsDomain: string;
  readonly key: LocalKey;
}

const pageMax = 100;
const noContent: WholeReply = { kind: "whole", status: 204, contentType: "", text: "" };

/** What a template's name is here: of the tags that E2B puts after it there is one. */
export function untagged(template: string): string {
  return template.replace(/:default$/, "");
}

/** Makes sandboxes that begin with another's files; its processes and memory are not in them. */
export async function forkSandbox(
  options: SnapshotOptions,
  request: AdapterRequest,
  fork: { readonly id: string; readonly count: number; readonly seconds: number },
): Promise<WholeReply> {
  const lifetime = durationFromMs(fork.seconds * 1000);
  const { id, count } = fork;
  const asked = { id, count, lifetime };
  const { sandboxes } = await options.snapshots.forkSandbox(asked, { parent: request.context });
  const results = sandboxes.map((sandbox) => {
    return { sandbox: created(sandbox, accessOf(options, request, sandbox.id)) };
  });
  return jsonReply(201, results);
}

/** Keeps a sandbox's files. */
export async function createSnapshot(
  { snapshots }: SnapshotOptions,
  request: AdapterRequest,
  sandbox: string,
): Promise<WholeReply> {
  const fields = new Fields(await request.json());
  if (fields.text("name") !== "") {
    return errorReply(400, "snapshots have no names here: use the snapshotID of the answer");
  }
  const { id } = await snapshots.createSnapshot({ sandbox }, { parent: request.context });
  return jsonReply(201, { snapshotID: id, names: [] });
}

/** A page of snapshots, of one sandbox or of all. */
export async function listSnapshots(
  { snapshots }: SnapshotOptions,
  { query, context }: AdapterRequest,
): Promise<WholeReply> {
  const limit = Number(query.get("limit") ?? pageMax);
  if (!Number.isInteger(limit) || limit < 1 || limit > pageMax) {
    return errorReply(400, `limit must be between 1 and ${pageMax}`);
  }
  const sandbox = query.get("sandboxID") ?? "";
  if ((query.get("name") ?? "") !== "" || (sandbox !== "" && !isSandboxId(sandbox))) {
    return jsonReply(200, []);
  }
  const filter = sandbox === "" ? "" : `sandbox = "${sandbox}"`;
  const asked = { pageSize: limit, pageToken: query.get("nextToken") ?? "", filter };
  const page = await snapshots.listSnapshots(asked, { parent: context });
  if (page.nextPageToken !== "") context.responseHeaders.set("x-next-token", page.nextPageToken);
  const told = page.snapshots.map(({ id }) => ({ snapshotID: id, names: [] }));
  return jsonReply(200, told);
}

/** Removes a snapshot, by its id, or a template, by its name. */
export async function deleteTemplate(
  { snapshots, templates }: SnapshotOptions,
  { params, context: parent }: AdapterRequest,
): Promise<WholeReply> {
  const name = untagged(params["template"] ?? "");
  if (isSandboxId(name)) await snapshots.deleteSnapshot({ id: name }, { parent });
  else await templates.deleteTemplate({ name }, { parent });
  return noContent;
}
