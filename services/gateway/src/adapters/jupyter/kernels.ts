// Kernels: sessions of Syla, whoever made them, by Jupyter's REST.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type SessionLanguage } from "@syla/contract/syla/session/v1/language";
import {
  type Session,
  type SessionService,
  Session_Status as Status,
} from "@syla/contract/syla/session/v1/session";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";
import type { AdapterRequest } from "../../adapters.ts";
import { parseJson } from "../../adapters.ts";
import { languageOf, specName } from "./languages.ts";
import type { KernelLinks } from "./links.ts";

/** What kernels are made of. */
export interface KernelOptions {
  readonly sessions: Client<typeof SessionService>;
  readonly links: KernelLinks;
}

const idShape = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const pageSize = 1000;
/** As many as an installation can have. */
const pagesMax = 8;
const living = 'status != "ENDED" AND status != "LOST"';

const states: ReadonlyMap<Status, string> = new Map([
  [Status.IDLE, "idle"],
  [Status.BUSY, "busy"],
  [Status.RESTARTING, "restarting"],
]);

// Whether it has not ended.
function isThere({ status }: Session): boolean {
  return status !== Status.ENDED && status !== Status.LOST;
}

/** A session as a kernel. */
export function kernelModel(session: Session, links: KernelLinks): JsonObject {
  const { id, language, status, activeAt } = session;
  return {
    ...{ id, name: specName(language), execution_state: states.get(status) ?? "starting" },
    last_activity: (activeAt === undefined ? new Date(0) : timestampDate(activeAt)).toISOString(),
    connections: links.count(id),
  };
}

/** The kernel of an id; throws `session_not_found` when there is none, or not any more. */
export async function findKernel(
  { sessions }: KernelOptions,
  id: string,
  parent: CallContext,
): Promise<Session> {
  const session = idShape.test(id) ? await sessions.getSession({ id }, { parent }) : undefined;
  if (session !== undefined && isThere(session)) return session;
  throw new SylaError("session_not_found", `Kernel does not exist: ${id.slice(0, 100)}`);
}

/** All kernels that are there, or those of a filter. */
export async function listKernels(
  { sessions }: KernelOptions,
  parent: CallContext,
  more = "",
): Promise<Session[]> {
  const filter = more === "" ? living : `${living} AND ${more}`;
  const found: Session[] = [];
  let pageToken = "";
  for (let page = 0; page < pagesMax; page += 1) {
    const request = { pageSize, pageToken, filter };
    const answer = await sessions.listSessions(request, { parent });
    found.push(...answer.sessions.filter(isThere));
    pageToken = answer.nextPageToken;
    if (pageToken === "") break;
  }
  return found;
}

/** Starts a kernel by its kernelspec's name; throws `unknown_language`. */
export async function startKernel(
  { sessions }: KernelOptions,
  name: string,
  metadata: Readonly<Record<string, string>>,
  parent: CallContext,
): Promise<Session> {
  const languages = await listLanguages(sessions, parent);
  const language = languageOf(name, languages);
  if (language === undefined) {
    const names = languages.map((one) => specName(one.name)).join(", ");
    const message = `There is no kernel ${JSON.stringify(name.slice(0, 100))}: there are ${names}.`;
    throw new SylaError("unknown_language", message);
  }
  const spec = { language: language.name, version: language.version, metadata: { ...metadata } };
  return sessions.createSession({ spec }, { parent });
}

/** The languages that kernels can be of. */
export async function listLanguages(
  sessions: KernelOptions["sessions"],
  parent: CallContext,
): Promise<SessionLanguage[]> {
  return (await sessions.listSessionLanguages({}, { parent })).languages;
}

/** Starts a kernel's interpreter anew. */
export async function restartKernel(options: KernelOptions, id: string, parent: CallContext) {
  const { restarts } = await findKernel(options, id, parent);
  const link = options.links.find(id);
  if (link !== undefined) link.restartOf = restarts;
  return options.sessions.restartSession({ id }, { parent });
}

/** Ends a kernel. */
export async function endKernel(options: KernelOptions, id: string, parent: CallContext) {
  await findKernel(options, id, parent);
  await options.sessions.deleteSession({ id }, { parent });
}

/** The object that a request brings, of whatever media type its client says it is; none is an empty one. */
export async function readObject(request: AdapterRequest): Promise<JsonObject> {
  const bytes = await request.bytes();
  return objectIn(bytes.length === 0 ? {} : parseJson(bytes.toString("utf8")));
}

/** A value as an object; what is none is an empty one. */
export function objectIn(value: JsonValue | undefined): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}
