// Syla from a program: typed clients of every service, made from the contract's descriptors, over the Connect
// protocol and fetch, so that the same code runs on Node and in a browser.
import { type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { type ExecutionEvent, ExecutionService } from "@syla/contract/syla/execution/v1/execution";
import { ReplService } from "@syla/contract/syla/repl/v1/repl";
import { type FileEntry, FileService } from "@syla/contract/syla/sandbox/v1/file";
import { NetworkService } from "@syla/contract/syla/sandbox/v1/network";
import { PortService } from "@syla/contract/syla/sandbox/v1/port";
import { type ProcessEvent, ProcessService } from "@syla/contract/syla/sandbox/v1/process";
import { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import { SnapshotService } from "@syla/contract/syla/sandbox/v1/snapshot";
import { TemplateService } from "@syla/contract/syla/sandbox/v1/template";
import { type SessionEvent, SessionService } from "@syla/contract/syla/session/v1/session";
import type { UploadArchiveResponse } from "@syla/contract/syla/sandbox/v1/transfer";
import { type Client, createClient } from "./call.ts";
import { SylaError } from "./error.ts";
import {
  type ExecutionSpec,
  followExecution,
  type FollowOptions,
  followNewCell,
  followNewProcess,
  followProcess,
  type ProcessRef,
  type RunOptions,
  runProgram,
} from "./follow.ts";
import {
  uploadArchive,
  type UploadBody,
  uploadFile,
  type UploadOptions,
  type UploadTarget,
} from "./upload.ts";

export type { CallOptions, Client } from "./call.ts";
export type { UploadBody, UploadOptions, UploadTarget } from "./upload.ts";
export { SylaError } from "./error.ts";
export type { Status, SylaErrorOptions, Violation } from "./error.ts";
export type {
  ExecutionSpec,
  FollowOptions,
  ProcessRef,
  RetryOptions,
  RunOptions,
} from "./follow.ts";

/** How a platform is reached. */
export interface SylaOptions {
  /** Where it is, for example `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Sent as `Authorization: Bearer` with every call; none by default. */
  readonly token?: string | undefined;
  /** Another fetch than the global one. */
  readonly fetch?: typeof globalThis.fetch;
  /** How messages travel: `binary`, the default, or `json`, which is larger but can be read. */
  readonly format?: "binary" | "json";
}

/** A platform. */
export interface Syla {
  /** Where it is. */
  readonly url: string;
  /** Runs programs and remembers every run. */
  readonly execution: Client<typeof ExecutionService>;
  /** Runs a piece of code and answers its output. */
  readonly repl: Client<typeof ReplService>;
  /** Makes jails that stay, and ends them. */
  readonly sandbox: Client<typeof SandboxService>;
  /** Starts processes in a sandbox, and talks to them. */
  readonly process: Client<typeof ProcessService>;
  /** Reads and changes the files of a sandbox. */
  readonly file: Client<typeof FileService>;
  /** Runs cells of code in interpreters that stay. */
  readonly session: Client<typeof SessionService>;
  /** Says what a sandbox may reach, and what it tried to. */
  readonly network: Client<typeof NetworkService>;
  /** Says who may reach the servers in a sandbox. */
  readonly port: Client<typeof PortService>;
  /** Keeps the files of a sandbox, and makes others that begin with them. */
  readonly snapshot: Client<typeof SnapshotService>;
  /** Builds what sandboxes begin with. */
  readonly template: Client<typeof TemplateService>;
  /**
   * Runs a program and gives its events as they happen, over dropped connections too. The last one is `finished`.
   * Leaving before it, or the signal, cancels the run.
   */
  readonly run: (spec: ExecutionSpec, options?: RunOptions) => AsyncIterable<ExecutionEvent>;
  /**
   * Gives the events of an execution from any number on, running or finished, over dropped connections too. Leaving
   * does not disturb the execution.
   */
  readonly followExecution: (id: string, options?: FollowOptions) => AsyncIterable<ExecutionEvent>;
  /**
   * Gives the events of a process in a sandbox from any number on, running or ended, over dropped connections too. The
   * last one is `ended`. Leaving does not disturb the process.
   */
  readonly followProcess: (
    process: ProcessRef,
    options?: FollowOptions,
  ) => AsyncIterable<ProcessEvent>;
  /** Starts a process in a sandbox and gives its events like followProcess, from the first, which is `started`. */
  readonly followNewProcess: (
    request: Parameters<Client<typeof ProcessService>["startProcessStream"]>[0],
    options?: Omit<FollowOptions, "after">,
  ) => AsyncIterable<ProcessEvent>;
  /**
   * Runs a cell in a session and gives its events, over dropped connections too. The last one is `ended`. Leaving does
   * not disturb the cell.
   */
  readonly followNewCell: (
    request: Parameters<Client<typeof SessionService>["runCellStream"]>[0],
    options?: Omit<FollowOptions, "after">,
  ) => AsyncIterable<SessionEvent>;
  /** Writes a file of any size into a sandbox, whole or not at all, and answers it as it then is. */
  readonly uploadFile: (
    target: UploadTarget,
    body: UploadBody,
    options?: UploadOptions,
  ) => Promise<FileEntry>;
  /** Unpacks a tar, which may be in gzip, into a folder of a sandbox. `file.downloadArchive` is the way back. */
  readonly uploadArchive: (
    target: UploadTarget,
    body: UploadBody,
    options?: UploadOptions,
  ) => Promise<UploadArchiveResponse>;
}

/**
 * Makes the client of a platform. No connection is made before the first call.
 *
 * @example
 * ```ts
 * const syla = createSyla({ url: process.env["SYLA_URL"] ?? "http://127.0.0.1:8080" });
 * const done = await syla.execution.execute({ spec: { language: "python", code: "print(6 * 7)" } });
 * console.log(done.stdout);
 * ```
 */
export function createSyla(options: SylaOptions): Syla {
  const url = readUrl(options.url);
  const { fetch, token } = options;
  const transport = createConnectTransport({
    baseUrl: url,
    useBinaryFormat: options.format !== "json",
    interceptors: token === undefined ? [] : [authorize(token)],
    ...(fetch === undefined ? {} : { fetch }),
  });
  const link = { url, transport };
  const rest = { url, token, fetch: fetch ?? globalThis.fetch };
  const execution = createClient(ExecutionService, link);
  const process = createClient(ProcessService, link);
  const session = createClient(SessionService, link);
  return {
    url,
    execution,
    repl: createClient(ReplService, link),
    sandbox: createClient(SandboxService, link),
    process,
    file: createClient(FileService, link),
    session,
    network: createClient(NetworkService, link),
    port: createClient(PortService, link),
    snapshot: createClient(SnapshotService, link),
    template: createClient(TemplateService, link),
    run: (spec, runOptions) => runProgram(execution, spec, runOptions),
    followExecution: (id, followOptions) => followExecution(execution, id, followOptions),
    followProcess: (ref, followOptions) => followProcess(process, ref, followOptions),
    followNewProcess: (request, followOptions) => followNewProcess(process, request, followOptions),
    followNewCell: (request, followOptions) => followNewCell(session, request, followOptions),
    uploadFile: (target, body, uploadOptions) => uploadFile(rest, target, body, uploadOptions),
    uploadArchive: (target, body, uploadOptions) =>
      uploadArchive(rest, target, body, uploadOptions),
  };
}

function readUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol)) {
    const message = `Cannot use '${text}' as Syla's URL: it must begin with http:// or https://.`;
    throw new SylaError("invalid_configuration", message, { status: "failed_precondition" });
  }
  return url.href.replace(/\/+$/, "");
}

function authorize(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("Authorization", `Bearer ${token}`);
    return next(request);
  };
}
