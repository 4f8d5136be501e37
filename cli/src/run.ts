// `syla run`: a program in a fresh jail that behaves as if it ran here. Its output comes out as it is produced, its
// exit code is the command's, and Ctrl-C ends it.
import {
  type ExecutionEvent,
  ExecutionSchema,
  type OutputChunk,
} from "@syla/contract/syla/execution/v1/execution";
import type { ProcessEvent, ProcessOutput } from "@syla/contract/syla/sandbox/v1/process";
import type { Syla } from "@syla/sdk";
import { saveArtifact } from "./artifacts.ts";
import { type Command, parseFlagsAndRest } from "./command.ts";
import { exitCodes, platformFailure, usageFailure } from "./failure.ts";
import { interruptible } from "./interrupt.ts";
import { exitCodeOf, sentenceOf } from "./outcome.ts";
import { printJson } from "./json.ts";
import { note, write } from "./output.ts";
import { connect } from "./platform.ts";
import { readRequest, runFlags, type RunRequest, toSpec } from "./run-spec.ts";

/** The `run` command. */
export const run: Command = {
  usage: "run [FILE|-] [-l LANGUAGE] [FLAGS] [-- ARGS…]",
  about: `Runs a program in a fresh jail. Its output streams here, its exit code is the command's, and
what is piped in is its standard input. 128+n tells a signal, 124 a limit of time, 125 that the
platform could not run it, 2 a mistake on the command line. KB and MB are powers of 1000, KiB
and MiB of 1024. A secret's value is never given on the command line, which every process on the
machine can read: it is taken from a variable, a file, or (NAME=-) standard input.`,
  flags: runFlags,
  examples: [
    ["syla run examples/primes.py", "the language is told by the file's ending"],
    ["echo 'print(6*7)' | syla run -l python -", "a program from standard input"],
    ["sort -u words.txt | syla run count.rb", "standard input goes to the program"],
    ["syla run main.c --timeout 5s --memory 64MiB -- 10 20", "with limits and arguments"],
    ["syla run deploy.sh --secret TOKEN --mask-secrets", "with $TOKEN, which the output hides"],
    ["syla run plot.py --file data.csv --artifact plot.png=out.png", "files in, files out"],
  ],
  execute,
};

async function execute(args: string[]): Promise<number> {
  const { values, positionals, rest: programArgs } = parseFlagsAndRest(runFlags, args);
  const [file, extra] = positionals;
  if (extra !== undefined) {
    throw usageFailure(
      `The argument '${extra}' is not expected: put the program's own after '--'.`,
    );
  }
  return interruptible(async ({ signal }) => {
    const request = await readRequest(file, programArgs, values, signal);
    return runOn(request, values.json, signal);
  });
}

async function runOn(request: RunRequest, json: boolean, signal: AbortSignal): Promise<number> {
  const { syla, died, close } = await connect(signal);
  const either = AbortSignal.any([signal, died]);
  try {
    const { finished, complete } = await follow(syla, request, json, either);
    if (json) {
      const execution = await syla.execution.getExecution({ id: finished.id }, { signal });
      await printJson(ExecutionSchema, execution);
    }
    const sentence = sentenceOf(finished, request.limitWords);
    if (sentence !== undefined) await note(sentence);
    const exitCode = exitCodeOf(finished);
    return exitCode === 0 && !complete ? exitCodes.platform : exitCode;
  } catch (thrown) {
    throw died.aborted ? died.reason : thrown;
  } finally {
    await close();
  }
}

async function follow(syla: Syla, request: RunRequest, quiet: boolean, signal: AbortSignal) {
  const spec = await toSpec(request, syla);
  let complete = true;
  for await (const { event } of syla.run(spec, { signal })) {
    if (event.case === "finished") return { finished: event.value, complete };
    if (event.case === "artifact") {
      const problem = await saveArtifact(event.value, request.places);
      if (problem !== undefined) await note(problem);
      complete &&= problem === undefined;
    }
    if (!quiet) await printOutput(event);
  }
  throw platformFailure("The platform's events ended before the program did.");
}

/** Writes an event's output, if it has any, to the stream that it came from. */
export async function printOutput(
  event: ExecutionEvent["event"] | ProcessEvent["event"],
): Promise<void> {
  if (event.case === "stdout") await write(process.stdout, bytesOf(event.value));
  if (event.case === "stderr") await write(process.stderr, bytesOf(event.value));
}

/** The bytes of a piece of output. */
export function bytesOf({ data }: OutputChunk | ProcessOutput): string | Uint8Array {
  return data.value ?? "";
}
