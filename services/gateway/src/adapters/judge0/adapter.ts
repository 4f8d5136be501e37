// Judge0 CE's API (https://github.com/judge0/judge0), for clients that were written for it. Authentication, the list of
// all submissions and deleting one are as on a Judge0 that has no token configured and deletes nothing.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { ExecutionService } from "@syla/contract/syla/execution/v1/execution";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";
import {
  type Adapter,
  type AdapterRequest,
  type AdapterRoute,
  jsonReply,
  type WholeReply,
} from "../../adapters.ts";
import {
  about,
  apiVersion,
  batchMax,
  configInfo,
  type Counted,
  statistics,
  statisticsMs,
  systemInfo,
  workers,
} from "./information.ts";
import { archivedLanguages, findLanguage, offeredLanguages } from "./languages.ts";
import { fromMetadata } from "./record.ts";
import { allStatuses } from "./statuses.ts";
import { type Faults, readSubmission } from "./submission.ts";
import { Submissions } from "./submissions.ts";
import type { Verdict } from "./verdict.ts";
import { type Form, readFields, render } from "./view.ts";

export interface Judge0Options {
  readonly executions: Client<typeof ExecutionService>;
  readonly callbacks: "off" | "public" | "private";
  readonly version: string;
  readonly log: { warn(facts: object, message: string): void };
}

const pageSize = 1000;
/** Pages of executions that counts are made of. */
const pagesMax = 10;

/** Of output that one answer may hold. */
const batchBytesMax = 32 * 1024 ** 2;
const tooMuch = "these submissions have too much output for one batch, ask for fewer of them";

const notUtf8 = "cannot be converted to UTF-8, use base64_encoded=true query parameter";
const oneNotUtf8 = `some attributes for this submission ${notUtf8}`;
const manyNotUtf8 = `some attributes for one or more submissions ${notUtf8}`;

/** Makes the adapter. */
export function judge0Adapter(options: Judge0Options): Adapter {
  const { executions, callbacks, log } = options;
  const reach = callbacks === "off" ? undefined : callbacks;
  const submissions = new Submissions({ executions, reach, log });
  const allowed = { callbacks: reach !== undefined };
  return {
    name: "judge0",
    prefixes: [""],
    routes: [
      ...submissionRoutes(submissions, allowed),
      ...batchRoutes(submissions, allowed),
      ...languageRoutes(submissions),
      ...informationRoutes(options, submissions, allowed),
    ],
    explain,
    close: () => submissions.close(),
  };
}

interface Allowed {
  readonly callbacks: boolean;
}

function submissionRoutes(submissions: Submissions, allowed: Allowed): readonly AdapterRoute[] {
  const create = async (request: AdapterRequest): Promise<WholeReply> => {
    const { query, context } = request;
    const form = readForm(query);
    if ("refusal" in form) return form.refusal;
    const languages = await submissions.languages(context);
    const body = await request.json();
    const read = await readSubmission(body, { languages, base64: form.base64, ...allowed });
    if ("faults" in read) return jsonReply(422, read.faults);
    const ids = await submit(submissions, read.submission, context);
    if ("faults" in ids) return jsonReply(422, ids.faults);
    const token = ids.tokens.at(-1);
    if (query.get("wait") !== "true") return jsonReply(201, { token });
    const shown = render(await submissions.wait(ids.tokens, context), form);
    return jsonReply(201, shown ?? { error: oneNotUtf8, token });
  };
  const get = async ({ params, query, context }: AdapterRequest): Promise<WholeReply> => {
    const form = readForm(query);
    if ("refusal" in form) return form.refusal;
    const judgement = await submissions.get(params["token"] ?? "", context);
    if (judgement === undefined) return notFound();
    const shown = render(judgement, form);
    return shown === undefined ? failed(400, oneNotUtf8) : jsonReply(200, shown);
  };
  return [
    { httpVerb: "POST", path: "/submissions", handle: create },
    { httpVerb: "GET", path: "/submissions", handle: async () => empty(403) },
    { httpVerb: "GET", path: "/submissions/:token", handle: get },
    {
      httpVerb: "DELETE",
      path: "/submissions/:token",
      handle: async () => failed(400, "delete not allowed"),
    },
  ];
}

function batchRoutes(submissions: Submissions, allowed: Allowed): readonly AdapterRoute[] {
  const create = async (request: AdapterRequest): Promise<WholeReply> => {
    const given = parseObject(await request.json())["submissions"];
    const bodies = Array.isArray(given) ? given : [];
    const refusal = checkBatch(bodies.length);
    if (refusal !== undefined) return refusal;
    const { context, query } = request;
    const languages = await submissions.languages(context);
    const base64 = query.get("base64_encoded") === "true";
    const answers: (Faults | { readonly token: string | undefined })[] = [];
    for (const body of bodies) {
      const read = await readSubmission(body, { languages, base64, ...allowed });
      const ids = "faults" in read ? read : await submit(submissions, read.submission, context);
      answers.push("faults" in ids ? ids.faults : { token: ids.tokens.at(-1) });
    }
    return jsonReply(answers.some((answer) => "token" in answer) ? 201 : 422, answers);
  };
  const get = async ({ raw, query, context }: AdapterRequest): Promise<WholeReply> => {
    const form = readForm(query);
    if ("refusal" in form) return form.refusal;
    const header = raw.headers["tokens"];
    const given = typeof header === "string" ? header : (query.get("tokens") ?? "");
    const tokens = given
      .trim()
      .split(",")
      .filter((token) => token !== "");
    const refusal = checkBatch(tokens.length);
    if (refusal !== undefined) return refusal;
    const answers: unknown[] = [];
    let bytes = 0;
    for (const token of tokens) {
      const judgement = await submissions.get(token, context);
      bytes += judgement === undefined ? 0 : outputBytes(judgement.verdict);
      if (bytes > batchBytesMax) return failed(400, tooMuch);
      const shown = judgement === undefined ? null : render(judgement, form);
      if (shown === undefined) return failed(400, manyNotUtf8);
      answers.push(shown);
    }
    return jsonReply(200, { submissions: answers });
  };
  return [
    { httpVerb: "POST", path: "/submissions/batch", handle: create },
    { httpVerb: "GET", path: "/submissions/batch", handle: get },
  ];
}

function languageRoutes(submissions: Submissions): readonly AdapterRoute[] {
  const brief = ({ id, name }: { readonly id: number; readonly name: string }) => ({ id, name });
  const list = async ({ context }: AdapterRequest): Promise<WholeReply> => {
    const languages = await submissions.languages(context);
    return jsonReply(200, offeredLanguages(languages).map(brief));
  };
  const listAll = async ({ context }: AdapterRequest): Promise<WholeReply> => {
    const languages = await submissions.languages(context);
    const all = [
      ...offeredLanguages(languages).map((one) => ({ ...brief(one), is_archived: false })),
      ...archivedLanguages(languages).map((one) => ({ ...brief(one), is_archived: true })),
    ];
    return jsonReply(200, all);
  };
  const get = async ({ params, context }: AdapterRequest): Promise<WholeReply> => {
    const languages = await submissions.languages(context);
    const id = Number(params["id"]);
    const found = findLanguage(languages, id);
    if (found === undefined) return notFound();
    const known =
      found === "archived" ? archivedLanguages(languages).find((one) => one.id === id) : found;
    const { name, sourceFile } = known ?? { name: "", sourceFile: null };
    const commands = { compile_cmd: null, run_cmd: null };
    const facts = { id, name, is_archived: found === "archived", source_file: sourceFile };
    return jsonReply(200, { ...facts, ...commands });
  };
  return [
    { httpVerb: "GET", path: "/languages", handle: list },
    { httpVerb: "GET", path: "/languages/all", handle: listAll },
    { httpVerb: "GET", path: "/languages/:id", handle: get },
    { httpVerb: "GET", path: "/statuses", handle: async () => jsonReply(200, allStatuses()) },
  ];
}

function informationRoutes(
  { executions, version }: Judge0Options,
  submissions: Submissions,
  { callbacks }: Allowed,
): readonly AdapterRoute[] {
  const page = (path: string, value: () => unknown): AdapterRoute => {
    return { httpVerb: "GET", path, handle: async () => jsonReply(200, value()) };
  };
  // What is known without a call is told to whoever may make one.
  const guarded = (path: string, value: () => unknown): AdapterRoute => {
    const handle = async ({ context }: AdapterRequest) => {
      await submissions.languages(context);
      return jsonReply(200, value());
    };
    return { httpVerb: "GET", path, handle };
  };
  const count = async (status: string, context: CallContext): Promise<number> => {
    const request = { pageSize, filter: `status = "${status}"` };
    return (await executions.listExecutions(request, { parent: context })).executions.length;
  };
  let kept: { readonly untilMs: number; readonly value: unknown } | undefined;
  const counts = async ({ query, context }: AdapterRequest): Promise<WholeReply> => {
    const nowMs = Date.now();
    const offered = await submissions.languages(context);
    if (kept === undefined || kept.untilMs < nowMs || query.get("invalidate_cache") === "true") {
      const languages = offeredLanguages(offered);
      const names = new Map(languages.map(({ id, name }) => [id, name]));
      const value = statistics(await countable(executions, context), nowMs, names);
      kept = { untilMs: nowMs + statisticsMs, value };
    }
    return jsonReply(200, kept.value);
  };
  return [
    page("/about", () => about(version)),
    guarded("/config_info", () => configInfo(callbacks)),
    guarded("/system_info", systemInfo),
    {
      httpVerb: "GET",
      path: "/version",
      handle: async () => ({ ...empty(200), contentType: "text/plain", text: apiVersion }),
    },
    {
      httpVerb: "GET",
      path: "/workers",
      handle: async ({ context }) =>
        jsonReply(200, workers(await count("PENDING", context), await count("RUNNING", context))),
    },
    { httpVerb: "GET", path: "/statistics", handle: counts },
    { httpVerb: "POST", path: "/authenticate", handle: async () => empty(200) },
    { httpVerb: "POST", path: "/authorize", handle: async () => empty(403) },
  ];
}

// The submissions among the newest executions, as many as are looked at.
async function countable(
  executions: Client<typeof ExecutionService>,
  context: CallContext,
): Promise<readonly Counted[]> {
  const counted: Counted[] = [];
  let pageToken = "";
  for (let page = 0; page < pagesMax; page += 1) {
    const request = { pageSize, pageToken };
    const answer = await executions.listExecutions(request, { parent: context });
    for (const { metadata, createdAt } of answer.executions) {
      const languageId = fromMetadata(metadata)?.language_id;
      if (languageId === undefined || createdAt === undefined) continue;
      counted.push({ languageId, createdMs: timestampMs(createdAt) });
    }
    pageToken = answer.nextPageToken;
    if (pageToken === "") break;
  }
  return counted;
}

type Submitted = { readonly tokens: readonly string[] } | { readonly faults: Faults };

/** Queues a submission; what the contract or the installation refuses are faults of its fields. */
async function submit(
  submissions: Submissions,
  submission: Parameters<Submissions["submit"]>[0],
  context: CallContext,
): Promise<Submitted> {
  try {
    return { tokens: await submissions.submit(submission, context) };
  } catch (thrown) {
    if (!(thrown instanceof SylaError) || thrown.violations.length === 0) throw thrown;
    const faults: Record<string, string[]> = {};
    for (const { pointer, detail } of thrown.violations) {
      (faults[fieldOf(pointer)] ??= []).push(detail);
    }
    return { faults };
  }
}

// The names of the contract's fields, as a submission has them.
function fieldOf(pointer: string): string {
  const [, , name = "", limit = ""] = pointer.split("/");
  if (limit === "memoryBytes") return "memory_limit";
  if (limit === "pids") return "max_processes_and_or_threads";
  if (name === "files") return "additional_files";
  if (name === "args") return "command_line_arguments";
  return name === "code" ? "source_code" : name;
}

function readForm(query: URLSearchParams): Form | { readonly refusal: WholeReply } {
  const read = readFields(query.get("fields"));
  if ("unknown" in read) {
    return { refusal: failed(400, `invalid fields: [${read.unknown.join(", ")}]`) };
  }
  // As documented, and as its releases do: only this word.
  return { base64: query.get("base64_encoded") === "true", fields: read.fields };
}

function checkBatch(submissions: number): WholeReply | undefined {
  if (submissions === 0) return failed(400, "there should be at least one submission in a batch");
  if (submissions <= batchMax) return undefined;
  return failed(
    400,
    `number of submissions in a batch should be less than or equal to ${batchMax}`,
  );
}

function outputBytes({ stdout, stderr, compile_output }: Verdict): number {
  const texts = [stdout, stderr, compile_output];
  return texts.reduce((sum, text) => sum + (text?.length ?? 0), 0);
}

function failed(status: number, error: string): WholeReply {
  return jsonReply(status, { error });
}

function empty(status: number): WholeReply {
  return { kind: "whole", status, contentType: "application/json; charset=utf-8", text: "" };
}

function notFound(): WholeReply {
  return jsonReply(404, { status: 404, error: "Not Found" });
}

/** An error as Judge0 tells it. A full queue is 503 there. */
function explain(error: SylaError): WholeReply {
  if (error.code === "queue_full") return failed(503, "queue is full");
  return failed(error.httpStatus, error.message);
}

function parseObject(value: JsonValue | undefined): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}
