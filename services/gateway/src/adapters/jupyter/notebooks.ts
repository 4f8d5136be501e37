// Jupyter's own sessions: each ties a path, that of a notebook or a console, to a kernel. They are labels of the
// kernel's session and nothing else, so a kernel has one, and they last as long as that. Front ends offer sessions to
// connect to; so a kernel without labels is one, too.
import { randomUUID } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import type { Session } from "@syla/contract/syla/session/v1/session";
import type { CallContext } from "@syla/kit/call";
import {
  endKernel,
  findKernel,
  kernelModel,
  type KernelOptions,
  listKernels,
  objectIn,
  startKernel,
} from "./kernels.ts";
import { textIn } from "./message.ts";

const labels = {
  id: "jupyter_session",
  path: "jupyter_path",
  name: "jupyter_name",
  type: "jupyter_type",
} as const;
const allLabels: readonly string[] = Object.values(labels);
const idShape = /^[0-9a-f-]{36}$/;
/** As long as a label may be. */
const textCharsMax = 1024;

/** A kernel's session as the session of Jupyter that it is labelled to be; without labels it is one of its own. */
export function notebookModel(session: Session, options: KernelOptions): JsonObject {
  const { metadata, id } = session;
  const path = metadata[labels.path] ?? `syla-${id}`;
  const name = metadata[labels.name] ?? path;
  return {
    ...{ id: notebookId(session), path, name, type: metadata[labels.type] ?? "console" },
    kernel: kernelModel(session, options.links),
    notebook: { path, name },
  };
}

/** The kernel's session of one; throws `session_not_found`. */
export async function findNotebook(
  options: KernelOptions,
  id: string,
  context: CallContext,
): Promise<Session> {
  const found = idShape.test(id)
    ? await listKernels(options, context, `metadata.${labels.id} = "${id}"`)
    : [];
  return found[0] ?? findKernel(options, id, context);
}

/** Makes one, with a kernel that is there or a new one; a path that has one already keeps it. */
export async function openNotebook(
  options: KernelOptions,
  body: JsonObject,
  context: CallContext,
): Promise<Session> {
  const legacy = objectIn(body["notebook"]);
  const path = textIn(body, "path") || textIn(legacy, "path");
  const there = await listKernels(options, context);
  const known = there.find(({ metadata }) => metadata[labels.path] === path && path !== "");
  if (known !== undefined) return known;
  const metadata = {
    [labels.id]: randomUUID(),
    [labels.path]: cut(path),
    [labels.name]: cut(textIn(body, "name")),
    [labels.type]: cut(textIn(body, "type") || "notebook"),
  };
  return tie(options, objectIn(body["kernel"]), metadata, context);
}

/** Gives one another path, name, type or kernel; a kernel that it had is ended, as Jupyter does. */
export async function changeNotebook(
  options: KernelOptions,
  id: string,
  body: JsonObject,
  context: CallContext,
): Promise<Session> {
  const session = await findNotebook(options, id, context);
  const metadata: Record<string, string> = {};
  for (const key of ["path", "name", "type"] as const) {
    const value = body[key];
    if (typeof value === "string") metadata[labels[key]] = cut(value);
  }
  const kernel = objectIn(body["kernel"]);
  const other = textIn(kernel, "id");
  const isOther = other === "" ? textIn(kernel, "name") !== "" : other !== session.id;
  if (!isOther) {
    const request = { id: session.id, metadata };
    return options.sessions.updateSession(request, { parent: context });
  }
  const own = Object.entries(session.metadata).filter(([key]) => allLabels.includes(key));
  const tied = { ...Object.fromEntries(own), ...metadata, [labels.id]: notebookId(session) };
  const next = await tie(options, kernel, tied, context);
  await endKernel(options, session.id, context);
  return next;
}

async function tie(
  options: KernelOptions,
  kernel: JsonObject,
  metadata: Record<string, string>,
  context: CallContext,
): Promise<Session> {
  const id = textIn(kernel, "id");
  if (id === "") return startKernel(options, textIn(kernel, "name"), metadata, context);
  await findKernel(options, id, context);
  return options.sessions.updateSession({ id, metadata }, { parent: context });
}

function notebookId({ id, metadata }: Session): string {
  return metadata[labels.id] ?? id;
}

function cut(text: string): string {
  return Array.from(text.replaceAll("\0", "")).slice(0, textCharsMax).join("");
}
