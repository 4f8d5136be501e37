// Submissions as executions. A token is the id of an execution; a program that is to be run several times is several
// executions, of which the last knows the others. Nothing is remembered here but what goes on: the results that are
// still to be sent somewhere.
import type {
  Execution,
  ExecutionEvent,
  ExecutionService,
  Language,
} from "@syla/contract/syla/execution/v1/execution";
import { Execution_Status as ExecutionStatus } from "@syla/contract/syla/execution/v1/execution";
import { CallContext, callerLeft } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";
import { owner } from "@syla/kit/local-access";
import type { Reach } from "./address.ts";
import { sendCallback } from "./callback.ts";
import { findLanguage } from "./languages.ts";
import { fromMetadata, type Submitted, toMetadata } from "./record.ts";
import { toSpec } from "./spec.ts";
import type { Submission } from "./submission.ts";
import { pendingVerdict, type Verdict, verdictOf } from "./verdict.ts";
import { defaultFields, type Judgement, render } from "./view.ts";

export interface SubmissionsOptions {
  readonly executions: Client<typeof ExecutionService>;
  /** Undefined when results are sent nowhere. */
  readonly reach: Reach | undefined;
  readonly log: { warn(facts: object, message: string): void };
}

/** How many results may be waited for to be sent. */
const callbacksMax = 1000;
/** How many are sent at one time. */
const lanes = 16;

interface Run {
  readonly execution: Execution;
  readonly verdict: Verdict;
}

/** The submissions of an installation. */
export class Submissions {
  readonly #options: SubmissionsOptions;
  readonly #closing = new AbortController();
  /** Of the results that are still to be sent. */
  readonly #callbacks = new Set<CallContext>();
  readonly #lanes: Promise<void>[] = [];
  #lane = 0;

  constructor(options: SubmissionsOptions) {
    this.#options = options;
  }

  /** The languages of the installation. */
  async languages(context: CallContext): Promise<readonly Language[]> {
    return (await this.#options.executions.listLanguages({}, { parent: context })).languages;
  }

  /** Queues a submission; answers its executions, of which the last is its token. */
  async submit(submission: Submission, context: CallContext): Promise<readonly string[]> {
    const { executions } = this.#options;
    const { callbackUrl, bounds } = submission;
    if (callbackUrl !== undefined && this.#callbacks.size >= callbacksMax) {
      throw new SylaError("queue_full", "Too many results wait to be sent.");
    }
    const spec = toSpec(submission);
    const ids: string[] = [];
    try {
      for (let run = 1; run <= bounds.number_of_runs; run += 1) {
        const metadata = { ...toMetadata(submission, run < bounds.number_of_runs ? [] : ids) };
        const own = { ...spec, metadata };
        const { id } = await executions.createExecution({ spec: own }, { parent: context });
        ids.push(id);
      }
    } catch (thrown) {
      this.#cancel(ids);
      throw thrown;
    }
    if (callbackUrl !== undefined) void this.#callBack(ids, new URL(callbackUrl));
    return ids;
  }

  /** Answers a submission as it stands; undefined when a token is none. */
  async get(token: string, context: CallContext): Promise<Judgement | undefined> {
    return this.#judge(token, context, (id) => this.#look(id, context));
  }

  /** Answers a submission, by its executions, when it has ended. A client that leaves ends it. */
  async wait(ids: readonly string[], context: CallContext): Promise<Judgement> {
    try {
      return await this.#ended(ids, context);
    } catch (thrown) {
      if (context.aborted !== undefined) this.#cancel(ids);
      throw thrown;
    }
  }

  /** Sends nothing any more. */
  close(): void {
    this.#closing.abort();
    for (const context of this.#callbacks) context.abort(callerLeft());
  }

  async #ended(ids: readonly string[], context: CallContext): Promise<Judgement> {
    const see = (id: string) => this.#follow(id, context);
    const judgement = await this.#judge(ids.at(-1) ?? "", context, see);
    if (judgement !== undefined) return judgement;
    throw new SylaError("internal", "A submission that was accepted is not there.");
  }

  async #judge(
    token: string,
    context: CallContext,
    see: (id: string) => Promise<Run>,
  ): Promise<Judgement | undefined> {
    const submitted = await this.#submitted(token, context);
    if (submitted === undefined) return undefined;
    const runs: Run[] = [];
    for (const id of [...submitted.earlier, token]) {
      // Only the first that is not right, or else the last, is shown with what it wrote.
      const before = runs.at(-1);
      if (before?.verdict.status === 3) runs.splice(-1, 1, withoutOutput(before));
      const run = await see(id);
      runs.push(runs.some(({ verdict }) => verdict.status > 3) ? withoutOutput(run) : run);
    }
    const last = runs.at(-1);
    if (last === undefined) return undefined;
    const languages = await this.languages(context);
    const found = findLanguage(languages, submitted.language_id);
    const languageName = typeof found === "object" ? found.name : null;
    return { execution: last.execution, submitted, verdict: ofAll(runs), languageName };
  }

  async #submitted(token: string, context: CallContext): Promise<Submitted | undefined> {
    const { executions } = this.#options;
    try {
      const { metadata } = await executions.getExecution({ id: token }, { parent: context });
      return fromMetadata(metadata);
    } catch (thrown) {
      const code = thrown instanceof SylaError ? thrown.code : undefined;
      if (code === "execution_not_found" || code === "invalid_request") return undefined;
      throw thrown;
    }
  }

  async #look(id: string, context: CallContext): Promise<Run> {
    const execution = await this.#options.executions.getExecution({ id }, { parent: context });
    const { status } = execution;
    if (status === ExecutionStatus.PENDING || status === ExecutionStatus.RUNNING) {
      return { execution, verdict: pendingVerdict(status) };
    }
    return this.#follow(id, context);
  }

  async #follow(id: string, parent: CallContext): Promise<Run> {
    const { executions } = this.#options;
    const events: ExecutionEvent[] = [];
    for await (const event of executions.watchExecution({ id }, { parent })) events.push(event);
    const last = events.at(-1)?.event;
    const submitted = last?.case === "finished" ? fromMetadata(last.value.metadata) : undefined;
    if (last?.case !== "finished" || submitted === undefined) {
      throw new SylaError("shutting_down", "The platform stops before the submission has ended.");
    }
    return { execution: last.value, verdict: verdictOf(submitted, last.value, events) };
  }

  #cancel(ids: readonly string[]): void {
    for (const id of ids) {
      this.#options.executions.cancelExecution({ id }).catch((error: unknown) => {
        this.#options.log.warn({ error, id }, "a submission that nobody waits for goes on");
      });
    }
  }

  async #send(
    token: string,
    url: URL,
    { context, reach }: { readonly context: CallContext; readonly reach: Reach },
  ): Promise<void> {
    const judgement = await this.get(token, context);
    // A platform that stops keeps what has not begun.
    if (judgement === undefined || judgement.verdict.status < 3) return;
    const body = JSON.stringify(render(judgement, { base64: true, fields: defaultFields }));
    await sendCallback(url, body, { reach, signal: this.#closing.signal });
  }

  // One after another in each lane, so that no more results than there are lanes are in memory to be sent.
  #inLane(send: () => Promise<void>): Promise<void> {
    this.#lane = (this.#lane + 1) % lanes;
    const sent = (this.#lanes[this.#lane] ?? Promise.resolve()).then(send);
    this.#lanes[this.#lane] = sent.catch(() => undefined);
    return sent;
  }

  // Never rejects: nobody waits for it.
  async #callBack(ids: readonly string[], url: URL): Promise<void> {
    const { reach, log } = this.#options;
    if (reach === undefined) return;
    const context = new CallContext({ surface: "judge0" });
    context.principal = owner; // whoever submitted was let in
    this.#callbacks.add(context);
    const { executions } = this.#options;
    try {
      for (const id of ids) {
        for await (const _ of executions.watchExecution({ id }, { parent: context }));
      }
      await this.#inLane(() => this.#send(ids.at(-1) ?? "", url, { context, reach }));
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      log.warn({ error, token: ids.at(-1), host: url.host }, "a result could not be sent");
    } finally {
      this.#callbacks.delete(context);
    }
  }
}

function withoutOutput({ execution, verdict }: Run): Run {
  const output = { stdout: null, stderr: null, compile_output: null };
  return { execution, verdict: { ...verdict, ...output } };
}

// The first run that is not right decides and is shown, else the last; times and memory are the mean of those that
// count.
function ofAll(runs: readonly Run[]): Verdict {
  const verdicts = runs.map(({ verdict }) => verdict);
  const wrong = verdicts.findIndex(({ status }) => status > 3);
  const counted = wrong === -1 ? verdicts : verdicts.slice(0, wrong + 1);
  const shown = counted.find(({ status }) => status !== 3) ?? counted.at(-1);
  if (shown === undefined) return pendingVerdict(ExecutionStatus.PENDING);
  if (shown.status < 3) {
    const begun = verdicts.some(({ status }) => status !== 1);
    return pendingVerdict(begun ? ExecutionStatus.RUNNING : ExecutionStatus.PENDING);
  }
  const memory = mean(counted.map((one) => one.memory));
  return {
    ...shown,
    time: mean(counted.map((one) => one.time)),
    memory: memory === null ? null : Math.round(memory),
  };
}

function mean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}
