// The languages this host offers, and how the first jailed run of each went: proof that it works in the jail here, and
// the time to show for it. A language that is slow until something is prepared for it is offered at once and replaced
// when that is done.
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { LimitsSchema, RunRequestSchema } from "@syla/contract/syla/sandbox/v1/runner";
import { CallContext } from "@syla/kit/call";
import type { Log } from "@syla/kit/log";
import type { Language } from "./languages.ts";
import type { Runner } from "../run.ts";

// The defaults of an execution where they decide which jail fits; else enough for any language.
const limits = create(LimitsSchema, {
  wallTime: durationFromMs(60_000),
  cpuTime: durationFromMs(60_000),
  memoryBytes: 1024n ** 3n,
  pids: 256,
  diskBytes: 64n * 1024n ** 2n,
  outputBytes: 1024n ** 2n,
  artifactBytes: 1n,
});

/** How many run beside one another: they are to be over soon, and each is to be timed fairly. */
const lanes = 2;

/** What became of the first run of a language. */
export type FirstRun =
  | { readonly state: "ran"; readonly milliseconds: number }
  | { readonly state: "failed"; readonly reason: string };

/** A language and its first run; undefined while that is not over. */
export interface LanguageReport {
  readonly language: Language;
  readonly firstRun: FirstRun | undefined;
}

/** The languages of a host. */
export class Offer {
  readonly #languages: Language[];
  readonly #log: Log;
  readonly #signal: AbortSignal;
  readonly #firstRuns = new Map<Language, FirstRun>();
  #reports: readonly LanguageReport[] | undefined;
  readonly #preparing = new Map<Language, Promise<Language>>();

  /** The signal ends preparations that are under way. */
  constructor(languages: readonly Language[], log: Log, signal: AbortSignal) {
    this.#languages = [...languages];
    this.#log = log;
    this.#signal = signal;
  }

  /** As they are offered now, the default version of each first. */
  get languages(): readonly Language[] {
    return this.#languages;
  }

  /** The same array until something changes. */
  get reports(): readonly LanguageReport[] {
    return (this.#reports ??= this.#languages.map((language) => ({
      language,
      firstRun: this.#firstRuns.get(language),
    })));
  }

  /** The language once it is as fast as it gets; prepared once, whoever asks. */
  prepared(language: Language): Promise<Language> {
    if (language.prepare === undefined) return Promise.resolve(language);
    const known = this.#preparing.get(language);
    if (known !== undefined) return known;
    const preparing = this.#prepare(language, language.prepare);
    this.#preparing.set(language, preparing);
    return preparing;
  }

  /** Runs the first program of every language that is ready; resolves when all are over. */
  async runFirst(runner: Runner): Promise<void> {
    const waiting = this.#languages.filter(({ prepare }) => prepare === undefined);
    const lane = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        await this.#run(next, runner);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }

  /** Prepares the languages that need it, one after another, and runs the first program of each. */
  async prepareAll(runner: Runner): Promise<void> {
    for (const language of this.#languages.filter(({ prepare }) => prepare !== undefined)) {
      const prepared = await this.prepared(language);
      if (!this.#signal.aborted) await this.#run(prepared, runner);
    }
  }

  /** Resolves when nothing is being prepared. */
  async settle(): Promise<void> {
    await Promise.all(this.#preparing.values());
  }

  async #prepare(language: Language, prepare: NonNullable<Language["prepare"]>): Promise<Language> {
    try {
      const prepared = await prepare({ signal: this.#signal });
      this.#languages[this.#languages.indexOf(language)] = prepared;
      this.#reports = undefined;
      return prepared;
    } catch (error) {
      if (this.#signal.aborted) return language;
      this.#log.warn({ error, language: language.name }, "a language could not be prepared");
      this.#preparing.delete(language);
      return language;
    }
  }

  async #run(language: Language, runner: Runner): Promise<void> {
    const result = await runHello(language, runner);
    this.#firstRuns.set(language, result);
    this.#reports = undefined;
    if (result.state === "ran") {
      const isDefault = this.#languages.find(({ name }) => name === language.name) === language;
      return isDefault ? runner.warm(language, limits) : undefined;
    }
    const { name, version } = language;
    this.#log.warn({ language: name, version, reason: result.reason }, "a language does not work");
  }
}

async function runHello(language: Language, runner: Runner): Promise<FirstRun> {
  const begin = performance.now();
  const files = [{ name: language.defaultFile, content: Buffer.from(language.hello) }];
  const request = create(RunRequestSchema, { language: language.name, files, limits });
  let said = "";
  // Compiled although it was at the last start: it is to show that this works here, and how long it takes.
  const events = runner.run(request, language, new CallContext(), { anew: true });
  for await (const { event } of events) {
    if (event.case === "stderr") said += Buffer.from(event.value).toString("utf8");
    if (event.case !== "finished") continue;
    const { errorType, errorMessage } = event.value;
    if (errorType === undefined) return { state: "ran", milliseconds: performance.now() - begin };
    return { state: "failed", reason: said.trim() || (errorMessage ?? errorType) };
  }
  return { state: "failed", reason: "the run did not end" };
}
