// The first jailed run of each language: proof that it works in the jail on this host, and the time to show for it.
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { RunRequestSchema } from "@syla/contract/syla/sandbox/v1/sandbox";
import { CallContext } from "@syla/kit/call";
import type { Log } from "@syla/kit/log";
import type { Language } from "./languages.ts";
import type { Runner } from "./run.ts";

const limits = {
  wallTime: durationFromMs(60_000),
  cpuTime: durationFromMs(60_000),
  memoryBytes: 1024n ** 3n,
  pids: 256,
  diskBytes: 512n * 1024n ** 2n,
  outputBytes: 1024n ** 2n,
  artifactBytes: 1n,
};

/** How many run beside one another: they are to be over soon, and each is to be timed fairly. */
const lanes = 2;

/** What became of the first run of a language. */
export type FirstRun =
  | { readonly state: "ran"; readonly milliseconds: number }
  | { readonly state: "failed"; readonly reason: string };

/** The first runs of a host's languages. */
export class FirstRuns {
  readonly #results = new Map<Language, FirstRun>();

  /** How a language's first run went; undefined until it is over. */
  result(language: Language): FirstRun | undefined {
    return this.#results.get(language);
  }

  /** How long it took from the request to the end; undefined until it is over, or when it failed. */
  milliseconds(language: Language): number | undefined {
    const result = this.#results.get(language);
    return result?.state === "ran" ? result.milliseconds : undefined;
  }

  /** Runs every language's first program; resolves when all are over. */
  async runAll(languages: readonly Language[], runner: Runner, log: Log): Promise<void> {
    const waiting = [...languages];
    const lane = async () => {
      for (let language = waiting.shift(); language !== undefined; language = waiting.shift()) {
        const result = await runFirst(language, runner);
        this.#results.set(language, result);
        if (result.state === "failed") {
          log.warn({ language: language.name, reason: result.reason }, "a language does not work in the jail");
        }
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }
}

async function runFirst(language: Language, runner: Runner): Promise<FirstRun> {
  const begin = performance.now();
  const files = [{ name: language.defaultFile, content: Buffer.from(language.hello) }];
  const request = create(RunRequestSchema, { language: language.name, files, limits });
  let said = "";
  for await (const { event } of runner.run(request, language, new CallContext())) {
    if (event.case === "stderr") said += Buffer.from(event.value).toString("utf8");
    if (event.case !== "finished") continue;
    const { errorType, errorMessage } = event.value;
    if (errorType === undefined) return { state: "ran", milliseconds: performance.now() - begin };
    return { state: "failed", reason: said.trim() || (errorMessage ?? errorType) };
  }
  return { state: "failed", reason: "the run did not end" };
}
