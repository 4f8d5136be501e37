// A submission as the spec of an execution. Judge0 compiles under the most that may be asked for and runs under what
// was; an execution has one bound for both. So what is compiled gets time and memory enough for the compiler, and
// whether the program took more than it was given is judged by what it took (verdict.ts), as isolate judges within
// `cpu_extra_time`.
import { isUtf8 } from "node:buffer";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ExecutionSpec,
  ExecutionSpecSchema,
  type SourceFile,
  SourceFileSchema,
} from "@syla/contract/syla/execution/v1/spec";
import { multiFileId } from "./languages.ts";
import { rules, type Submission } from "./submission.ts";

/** Time that a compiler has at least, by the clock and of processor time. */
const compileMs = 10_000;
/** The smallest bound on memory that the contract knows. */
const memoryBytesMin = 4 * 1024 ** 2;
/** What a compiler has at least: g++ took 242 MiB for `bits/stdc++.h`, which programs for judges begin with. */
const compileBytes = 384 * 1024 ** 2;

/** Where a project's compiling is told of; artifacts are brought back whatever became of the program. */
export const compileOutputFile = ".judge0/compile_output";
/** There only when compiling failed. */
export const compileFailedFile = ".judge0/compile_failed";

/** What starts a project: Judge0's `compile` and `run`, each with or without an ending. */
const start = `chmod -R u+x .
for script in compile.sh compile; do
  if [ -f "$script" ]; then
    if ! bash "$script" > ${compileOutputFile} 2>&1 < /dev/null; then
      : > ${compileFailedFile}
      exit 1
    fi
    break
  fi
done
for script in run.sh run; do
  if [ -f "$script" ]; then exec bash "$script" "$@"; fi
done
exec bash run.sh "$@"
`;

/** The spec of a submission's execution, but for its metadata. */
export function toSpec(submission: Submission): ExecutionSpec {
  const { language, bounds, stdin, args } = submission;
  const isProject = language.id === multiFileId;
  const compiles = language.own.compiled || isProject;
  const leastMs = compiles ? compileMs : 1;
  const cpuSeconds = bounds.cpu_time_limit || rules.cpu_time_limit.most;
  const cpuMs = Math.ceil((cpuSeconds + bounds.cpu_extra_time) * 1000);
  const leastBytes = compiles ? compileBytes : memoryBytesMin;
  return create(ExecutionSpecSchema, {
    language: language.own.name,
    version: language.own.version,
    ...program(submission, isProject),
    stdin: stdin?.toString("utf8") ?? "",
    args: [...args],
    env: { HOME: "/tmp" },
    limits: {
      wallTime: durationFromMs(Math.max(leastMs, Math.ceil(bounds.wall_time_limit * 1000))),
      cpuTime: durationFromMs(Math.max(leastMs, cpuMs)),
      memoryBytes: BigInt(Math.max(leastBytes, bounds.memory_limit * 1024)),
      pids: bounds.max_processes_and_or_threads,
      // There, output is a file.
      outputBytes: BigInt((bounds.max_file_size || rules.max_file_size.most) * 1024),
    },
    artifacts: isProject ? [compileOutputFile, compileFailedFile] : [],
  });
}

function program(
  { language, sourceCode, files }: Submission,
  isProject: boolean,
): Partial<Pick<ExecutionSpec, "code" | "files">> {
  const source = isProject ? Buffer.from(start) : sourceCode;
  // The sandbox names a single file as its language wants it, and has an interpreter wait for one of that name.
  if (files.length === 0 && isUtf8(source) && source.length > 0) {
    return { code: source.toString("utf8") };
  }
  const { sourceFile } = language;
  const others = files.filter(({ name }) => name !== sourceFile);
  return {
    files: [
      toFile(sourceFile, source),
      ...others.map(({ name, content }) => toFile(name, content)),
    ],
  };
}

function toFile(name: string, content: Buffer): SourceFile {
  return create(SourceFileSchema, { name, body: { case: "contentBase64", value: content } });
}
