// Snapshots, forks and templates by REST, as a client that has only the documentation sees them.
import { post, type Server } from "./api.ts";
import { getOk, pathOf, postOk, type Sandbox } from "./sandbox-api.ts";

export interface Loss {
  readonly kind: string;
  readonly count: number;
  readonly message: string;
}

export interface Snapshot {
  readonly id: string;
  readonly sandbox: string;
  readonly sizeBytes: number;
  readonly entries: number;
  readonly lost: readonly Loss[];
  readonly digest: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface Fork {
  readonly sandboxes: readonly Sandbox[];
  readonly lost: readonly Loss[];
}

export interface Template {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly language: string;
  readonly version: string;
  readonly sizeBytes: number;
  readonly digest: string;
  readonly env: Readonly<Record<string, string>>;
  readonly errorMessage?: string;
  readonly buildSandbox: string;
}

export interface TemplateEvent {
  readonly number: number;
  readonly step?: string;
  readonly output?: string;
  readonly lostBytes?: number;
  readonly ended?: Template;
}

/** A snapshot, as an answer has it. */
export function parseSnapshot(text: string): Snapshot {
  return JSON.parse(text) as Snapshot;
}

export const snapshotsPath = "/api/v1/snapshots";
export const templatesPath = "/api/v1/templates";

export function takeSnapshot(server: Server, id: string, metadata: object = {}): Promise<Snapshot> {
  return postOk(server, pathOf(id, "/snapshots"), { metadata });
}

export function forkSandbox(server: Server, id: string, body: object = {}): Promise<Fork> {
  return postOk(server, pathOf(id, ":fork"), body);
}

export function remove({ url }: Server, path: string): Promise<Response> {
  return fetch(`${url}${path}`, { method: "DELETE" });
}

export function declare(server: Server, spec: object): Promise<Template> {
  return postOk(server, templatesPath, spec);
}

export function getTemplate(server: Server, name: string): Promise<Template> {
  return getOk(server, `${templatesPath}/${name}`);
}

/** The answer to a sandbox that begins with something. */
export function begin(server: Server, spec: object): Promise<Response> {
  return post(server, "/api/v1/sandboxes", spec);
}

/** What a build did, when it has ended. */
export async function buildEvents({ url }: Server, name: string): Promise<TemplateEvent[]> {
  const response = await fetch(`${url}${templatesPath}/${name}/events`, {
    headers: { Accept: "text/event-stream" },
    signal: AbortSignal.timeout(60_000),
  });
  const lines = (await response.text()).split("\n");
  return lines
    .filter((line) => line.startsWith('data: {"number"'))
    .map((line) => parseTemplateEvent(line.slice("data: ".length)));
}

function parseTemplateEvent(text: string): TemplateEvent {
  return JSON.parse(text) as TemplateEvent;
}
