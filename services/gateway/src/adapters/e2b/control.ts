// E2B's control plane: its sandboxes are Syla's, over SandboxService. A template's id is a template's name here, or a
// snapshot's id; those that E2B has by itself are none.
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { NetworkService } from "@syla/contract/syla/sandbox/v1/network";
import { Port_Access as PortAccess, type PortService } from "@syla/contract/syla/sandbox/v1/port";
import {
  type Sandbox,
  Sandbox_Status as Status,
  type SandboxService,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";
import type { LocalKey } from "@syla/kit/local-key";
import {
  type Adapter,
  type AdapterRequest,
  type AdapterRoute,
  jsonReply,
  type Reply,
  type WholeReply,
} from "../../adapters.ts";
import { accessOf, isSandboxId, refuseKey } from "./access.ts";
import type { Contexts } from "./contexts.ts";
import { errorReply, explainControl, Refusal } from "./errors.ts";
import { Fields } from "./fields.ts";
import { home } from "./home.ts";
import { listSandboxes } from "./list.ts";
import { changedNetwork, networkOf } from "./network.ts";
import {
  createSnapshot,
  deleteTemplate,
  forkSandbox,
  listSnapshots,
  type SnapshotOptions,
  untagged,
} from "./snapshots.ts";
import { created, detail, metric, TEMPLATE } from "./view.ts";

/** What the control plane is made of. */
export interface ControlOptions extends SnapshotOptions {
  readonly sandboxes: Client<typeof SandboxService>;
  readonly networks: Client<typeof NetworkService>;
  readonly ports: Client<typeof PortService>;
  readonly contexts: Contexts;
}

/** E2B's SDKs leave it out when nobody asked for another. */
const lifetimeSecondsDefault = 300;
/** Of a fork, as E2B has it. */
const forkSecondsDefault = 15;
const daySeconds = 86_400;
/** In its sandboxes there is a context before code comes. They are of no one language, since each may have contexts. */
const interpreter = "code-interpreter-v1";
const templates: ReadonlySet<string> = new Set([TEMPLATE, interpreter]);
const noContent: WholeReply = { kind: "whole", status: 204, contentType: "", text: "" };

/** The adapter of the control plane. */
export function controlAdapter(options: ControlOptions): Adapter {
  const { sandboxes, networks, key } = options;
  const guarded = (
    httpVerb: AdapterRoute["httpVerb"],
    path: string,
    handle: (request: AdapterRequest, id: string) => Promise<Reply>,
  ): AdapterRoute => ({ httpVerb, path, handle: (request) => guard(key, request, handle) });
  const create = async (request: AdapterRequest) => createSandbox(options, request);
  const connect = async (request: AdapterRequest, id: string) => connectTo(options, request, id);
  const at = "/sandboxes/:id";
  const routes = [
    guarded("POST", "/sandboxes", create),
    guarded("POST", "/v2/sandboxes", create),
    guarded("GET", "/sandboxes", (request) => listSandboxes(sandboxes, request, "running")),
    guarded("GET", "/v2/sandboxes", (request) => listSandboxes(sandboxes, request, "")),
    guarded("GET", at, async ({ context: parent }, id) => {
      return jsonReply(200, detail(await there(sandboxes.getSandbox({ id }, { parent }))));
    }),
    guarded("DELETE", at, async ({ context: parent }, id) => {
      await there(sandboxes.getSandbox({ id }, { parent }));
      await sandboxes.killSandbox({ id }, { parent });
      return noContent;
    }),
    guarded("POST", `${at}/timeout`, async (request, id) => {
      const seconds = secondsOf(new Fields(await request.json()), 0);
      await extend(sandboxes, request, id, seconds);
      return noContent;
    }),
    guarded("POST", `${at}/pause`, (request, id) => pause(sandboxes, request, id)),
    guarded("POST", `${at}/resume`, connect),
    guarded("POST", `${at}/connect`, connect),
    guarded("POST", `/v2${at}/connect`, connect),
    guarded("PUT", `${at}/network`, async (request, id) => {
      const network = changedNetwork(new Fields(await request.json()));
      await there(sandboxes.getSandbox({ id }, { parent: request.context }));
      await networks.updateSandboxNetwork({ sandbox: id, network }, { parent: request.context });
      return noContent;
    }),
    guarded("POST", `${at}/fork`, async (request, id) => {
      const fields = new Fields(await request.json());
      const seconds = secondsOf(fields, forkSecondsDefault);
      return forkSandbox(options, request, { id, seconds, count: fields.count("count") });
    }),
    guarded("POST", `${at}/snapshots`, (request, id) => createSnapshot(options, request, id)),
    guarded("GET", "/snapshots", (request) => listSnapshots(options, request)),
    guarded("DELETE", "/templates/:template", (request) => deleteTemplate(options, request)),
    guarded("GET", `${at}/metrics`, (request, id) => listMetrics(sandboxes, request, id)),
    ...absent.map(([verb, path, what]) => {
      const message = `Syla has no ${what} for E2B's clients.`;
      return guarded(verb, path, async () => errorReply(501, message));
    }),
  ];
  return { name: "e2b", prefixes: [""], routes, explain: explainControl };
}

const absent: readonly (readonly [AdapterRoute["httpVerb"], string, string])[] = [
  ["GET", "/sandboxes/:id/logs", "logs"],
  ["GET", "/v2/sandboxes/:id/logs", "logs"],
  ["GET", "/templates", "templates"],
  ["POST", "/templates", "templates"],
  ["POST", "/v2/templates", "templates"],
  ["POST", "/v3/templates", "templates"],
  ["GET", "/volumes", "volumes"],
  ["POST", "/volumes", "volumes"],
];

async function guard(
  key: LocalKey,
  request: AdapterRequest,
  handle: (request: AdapterRequest, id: string) => Promise<Reply>,
): Promise<Reply> {
  const refused = refuseKey(key, request);
  if (refused !== undefined) return refused;
  const { id = "" } = request.params;
  if (request.params["id"] !== undefined && !isSandboxId(id)) return notFound(id);
  try {
    return await handle(request, id);
  } catch (thrown) {
    if (thrown instanceof Refusal) return errorReply(400, thrown.message);
    throw thrown;
  }
}

function notFound(id: string): WholeReply {
  return errorReply(404, `sandbox '${id}' not found`);
}

/** A sandbox that has not ended. */
async function there(found: Promise<Sandbox>): Promise<Sandbox> {
  const sandbox = await found;
  if (sandbox.status === Status.RUNNING || sandbox.status === Status.PAUSED) return sandbox;
  throw new SylaError("sandbox_ended", `sandbox '${sandbox.id}' not found`);
}

async function createSandbox(
  options: ControlOptions,
  request: AdapterRequest,
): Promise<WholeReply> {
  const { sandboxes, ports, contexts } = options;
  const fields = new Fields(await request.json());
  const template = untagged(fields.text("templateID"));
  if (template === "") throw new Refusal("invalid_argument", "templateID is missing");
  const refused = unsupported(fields);
  if (refused !== undefined) return errorReply(400, refused);
  const lifetime = durationFromMs(secondsOf(fields, lifetimeSecondsDefault) * 1000);
  const env = { HOME: home, E2B_SANDBOX: "true", ...fields.map("envVars") };
  const network = networkOf(fields);
  const metadata = fields.map("metadata");
  const spec = {
    lifetime,
    env,
    metadata,
    ...(network && { network }),
    ...originOf(template),
  };
  const made = sandboxes.createSandbox({ spec }, { parent: request.context });
  const sandbox = await made.catch((thrown: unknown) => {
    if (!isMissing(thrown)) throw thrown;
    return errorReply(404, `template '${template}' not found`);
  });
  if ("kind" in sandbox) return sandbox;
  if (fields.inside("network").flag("allowPublicTraffic")) {
    const everyPort = { sandbox: sandbox.id, port: 0, access: PortAccess.PUBLIC };
    await ports.exposePort(everyPort, { parent: request.context });
  }
  if (template === interpreter) contexts.prepare(sandbox.id);
  return jsonReply(201, created(sandbox, accessOf(options, request, sandbox.id)));
}

function originOf(template: string): { template?: string; snapshot?: string } {
  if (templates.has(template)) return {};
  return isSandboxId(template) ? { snapshot: template } : { template };
}

function isMissing(thrown: unknown): boolean {
  if (!(thrown instanceof SylaError)) return false;
  return thrown.code === "template_not_found" || thrown.code === "snapshot_not_found";
}

/** What is asked for and cannot be had; a sandbox that silently lacks it would be worse. */
function unsupported(fields: Fields): string | undefined {
  if (fields.flag("autoPause")) {
    return "autoPause is not supported: a sandbox of Syla is killed at its timeout";
  }
  const missing = ["mcp", "iam"].find((name) => fields.inside(name).names().length > 0);
  if (missing !== undefined) return `${missing} is not supported`;
  return fields.has("volumeMounts") ? "volumeMounts are not supported" : undefined;
}

function secondsOf(fields: Fields, missing: number): number {
  if (!fields.has("timeout")) return missing;
  const seconds = fields.count("timeout");
  if (seconds <= daySeconds) return seconds;
  throw new Refusal(
    "invalid_argument",
    `Timeout cannot be greater than ${daySeconds / 3600} hours`,
  );
}

function extend(
  sandboxes: ControlOptions["sandboxes"],
  { context: parent }: AdapterRequest,
  id: string,
  seconds: number,
): Promise<Sandbox> {
  const lifetime = durationFromMs(Math.max(1, seconds * 1000));
  return sandboxes.extendSandbox({ id, lifetime }, { parent });
}

/** What is paused waits for its owner there, and for as long as a sandbox can live here. */
async function pause(
  sandboxes: ControlOptions["sandboxes"],
  request: AdapterRequest,
  id: string,
): Promise<WholeReply> {
  const parent = request.context;
  const fields = new Fields(await request.json());
  if (fields.has("memory") && !fields.flag("memory")) {
    return errorReply(400, "a pause without memory is not supported");
  }
  const { status } = await there(sandboxes.getSandbox({ id }, { parent }));
  if (status === Status.PAUSED) return errorReply(409, `sandbox '${id}' is already paused`);
  await sandboxes.pauseSandbox({ id }, { parent });
  await extend(sandboxes, request, id, daySeconds);
  return noContent;
}

/** Resumes a sandbox that is paused; one that runs lives on for as long as is asked for, if that is longer. */
async function connectTo(
  options: ControlOptions,
  request: AdapterRequest,
  id: string,
): Promise<WholeReply> {
  const { sandboxes } = options;
  const parent = request.context;
  const fields = new Fields(await request.json());
  if (fields.has("memory") && !fields.flag("memory")) {
    return errorReply(400, "a resume without memory is not supported");
  }
  const seconds = secondsOf(fields, lifetimeSecondsDefault);
  const found = await there(sandboxes.getSandbox({ id }, { parent }));
  const isPaused = found.status === Status.PAUSED;
  if (isPaused) await sandboxes.resumeSandbox({ id }, { parent });
  const endSeconds = Number(found.expiresAt?.seconds ?? 0n);
  if (isPaused || Date.now() / 1000 + seconds > endSeconds) {
    await extend(sandboxes, request, id, seconds);
  }
  return jsonReply(isPaused ? 201 : 200, created(found, accessOf(options, request, id)));
}

async function listMetrics(
  sandboxes: ControlOptions["sandboxes"],
  { context: parent, query }: AdapterRequest,
  id: string,
): Promise<WholeReply> {
  const sandbox = await there(sandboxes.getSandbox({ id }, { parent }));
  const { metrics } = await sandboxes.listSandboxMetrics({ id }, { parent });
  const from = Number(query.get("start") ?? 0);
  const to = Number(query.get("end") ?? Infinity);
  const told = metrics.map((one) => metric(one, sandbox));
  return jsonReply(
    200,
    told.filter(({ timestampUnix }) => timestampUnix >= from && timestampUnix <= to),
  );
}
