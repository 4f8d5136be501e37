// Piston's API, version 2 (https://github.com/engineer-man/piston), for clients that were written for it. Packages are
// listed but not installed.
import type { ExecutionService } from "@syla/contract/syla/execution/v1/execution";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import type { SylaError } from "@syla/kit/error";
import { type Adapter, type AdapterRequest, jsonReply, type WholeReply } from "../../adapters.ts";
import { serveConnect } from "./connect.ts";
import type { Interactive } from "./interactive.ts";
import { type Job, type PistonLimits, readJob } from "./request.ts";
import { JobLog, type JobResult } from "./result.ts";
import { findRuntime, type Runtime, toRuntimes } from "./runtimes.ts";

export interface PistonOptions {
  readonly executions: Client<typeof ExecutionService>;
  /** For `/connect`; without it that is not there. */
  readonly interactive: Interactive | undefined;
  readonly limits: PistonLimits & { readonly pistonOutputBytes: number };
}

const jsonType = "application/json";
const prefixes = ["/api/v2", "/api/v2/piston"];

/** Makes the adapter; it is at Piston's own path and at the one that its public instance has. */
export function pistonAdapter({ executions, interactive, limits }: PistonOptions): Adapter {
  const runtimesOf = async (context: CallContext): Promise<readonly Runtime[]> => {
    const { languages } = await executions.listLanguages({}, { parent: context });
    return toRuntimes(languages);
  };
  const execute = async (request: AdapterRequest): Promise<WholeReply> => {
    if (!isJson(request)) return notJson();
    const job = readJob(await request.json(), await runtimesOf(request.context), limits);
    if ("refused" in job) return jsonReply(400, { message: job.refused });
    return jsonReply(200, await runJob(executions, job, request.context));
  };
  const packages = async ({ context }: AdapterRequest): Promise<WholeReply> => {
    const runtimes = await runtimesOf(context);
    const listed = runtimes.map(({ language, version }) => {
      return { language, language_version: version, installed: true };
    });
    return jsonReply(200, listed);
  };
  const refusePackage = async (request: AdapterRequest): Promise<WholeReply> => {
    if (!isJson(request)) return notJson();
    return noPackages(await request.json(), await runtimesOf(request.context));
  };
  return {
    name: "piston",
    prefixes,
    routes: [
      {
        httpVerb: "GET",
        path: "/runtimes",
        handle: async ({ context }) => jsonReply(200, (await runtimesOf(context)).map(listing)),
      },
      { httpVerb: "POST", path: "/execute", handle: execute },
      { httpVerb: "GET", path: "/packages", handle: packages },
      { httpVerb: "POST", path: "/packages", handle: refusePackage },
      { httpVerb: "DELETE", path: "/packages", handle: refusePackage },
    ],
    explain,
    findSocket: (path) => {
      const isHere = prefixes.some((prefix) => path.replace(/\/$/, "") === `${prefix}/connect`);
      if (interactive === undefined || !isHere) return undefined;
      return (peer, context) => {
        serveConnect({ interactive, limits, runtimesOf, wordOf }, peer, context);
      };
    },
  };
}

function listing({ language, version, aliases }: Runtime) {
  return { language, version, aliases };
}

function isJson({ raw }: AdapterRequest): boolean {
  return raw.headers["content-type"]?.toLowerCase().startsWith(jsonType) ?? false;
}

function notJson(): WholeReply {
  return jsonReply(415, { message: `requests must be of type ${jsonType}` });
}

function noPackages(body: unknown, runtimes: readonly Runtime[]): WholeReply {
  const { language, version } = parsePackage(body);
  if (findRuntime(runtimes, language, version) === undefined) {
    const message = `Requested package ${language}-${version} does not exist`;
    return jsonReply(404, { message });
  }
  const message = "Packages are the languages of the host; install and remove them there";
  return jsonReply(501, { message });
}

// Any two texts are a package that may not exist.
function parsePackage(body: unknown): { language: string; version: string } {
  const { language, version } = (body ?? {}) as { language?: unknown; version?: unknown };
  return { language: String(language), version: String(version) };
}

/** Piston tells a fault of the request by its message, and of a fault of its own nothing. */
function explain(error: SylaError): WholeReply {
  const { httpStatus } = error;
  if (httpStatus === 500) return { ...jsonReply(500, ""), text: "" };
  return jsonReply(httpStatus, { message: wordOf(error) });
}

function wordOf({ violations, message }: SylaError): string {
  const details = violations.map(({ pointer, detail }) => `${asked(pointer)} ${detail}`);
  return details.length > 0 ? details.join("; ") : message;
}

// The names of the contract's fields, as this request has them.
function asked(pointer: string): string {
  const name = pointer.replace(/^\/spec\//, "");
  return name === "limits/memoryBytes" ? "run_memory_limit" : name;
}

/** Runs a job to its end. */
async function runJob(
  executions: Client<typeof ExecutionService>,
  job: Job,
  context: CallContext,
): Promise<JobResult> {
  const log = new JobLog(job);
  const { limits } = job;
  const longestMs = Math.max(limits.compile.wallMs, limits.run.wallMs);
  const overdue = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  try {
    const options = { parent: context, signal: overdue.signal };
    for await (const event of executions.executeStream({ spec: job.spec }, options)) {
      const stage = log.take(event);
      if (stage === undefined) continue;
      clearTimeout(timer);
      // Where a language is compiled, the execution's bound is that of the longer stage.
      if (!job.runtime.own.compiled || limits[stage].wallMs >= longestMs) continue;
      timer = setTimeout(() => overdue.abort(), limits[stage].wallMs);
    }
  } catch (thrown) {
    if (!overdue.signal.aborted || context.aborted !== undefined) throw thrown;
  } finally {
    clearTimeout(timer);
  }
  return log.result(overdue.signal.aborted);
}
