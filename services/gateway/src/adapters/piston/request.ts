// The body of Piston's `execute`: checked as Piston checks it, in its order and with its words, and made into the spec
// of an execution.
import { posix } from "node:path";
import { create, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Language } from "@syla/contract/syla/execution/v1/execution";
import {
  type ExecutionSpec,
  ExecutionSpecSchema,
  type SourceFile,
  SourceFileSchema,
} from "@syla/contract/syla/execution/v1/spec";
import { findRuntime, type Runtime } from "./runtimes.ts";

/** Bounds of one stage, in milliseconds. */
export interface StageLimits {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** What a client asked for. */
export interface Job {
  readonly runtime: Runtime;
  readonly spec: ExecutionSpec;
  readonly limits: Readonly<Record<Stage, StageLimits>>;
}

export type Stage = "compile" | "run";

/** The bounds that are both Piston's defaults and the most that may be asked for, in milliseconds. */
export interface PistonLimits {
  readonly pistonCompileMs: number;
  readonly pistonRunMs: number;
}

/** A request that is refused, in Piston's words. */
export interface Refused {
  readonly refused: string;
}

/** The smallest bound on memory that the contract knows. */
const memoryBytesMin = 4 * 1024 ** 2;
/** What a compiler has unless asked otherwise: g++ took 242 MiB for `bits/stdc++.h`. */
const compileBytes = 384 * 1024 ** 2;

/** Languages whose tools go by a file's ending; the others run a file whatever it is called. */
const needsEnding = new Set(["javascript", "typescript", "c", "cpp", "go", "java"]);

interface GivenFile {
  readonly name: string | undefined;
  readonly content: string;
  readonly encoding: "utf8" | "base64" | "hex";
}

/** Reads the body of `execute`. */
export function readJob(
  body: JsonValue | undefined,
  runtimes: readonly Runtime[],
  most: PistonLimits,
): Job | Refused {
  const given = parseObject(body) ?? {};
  const { language, version } = given;
  if (typeof language !== "string" || language === "") {
    return { refused: "language is required as a string" };
  }
  if (typeof version !== "string" || version === "") {
    return { refused: "version is required as a string" };
  }
  const files = readFiles(given["files"]);
  if ("refused" in files) return files;
  const runtime = findRuntime(runtimes, language, version);
  if (runtime === undefined) return { refused: `${language}-${version} runtime is unknown` };
  if (!files.some(({ encoding }) => encoding === "utf8")) {
    return { refused: "files must include at least one utf8 encoded file" };
  }
  const refused = checkLimits(given, most) ?? checkProgram(given);
  if (refused !== undefined) return { refused };
  const limits = stageLimits(given, most);
  return { runtime, limits, spec: toSpec({ given, runtime, files, limits }) };
}

function readFiles(given: JsonValue | undefined): readonly GivenFile[] | Refused {
  if (!Array.isArray(given)) return { refused: "files is required as an array" };
  const files: GivenFile[] = [];
  for (const [index, value] of given.entries()) {
    const { name, content, encoding } = parseObject(value) ?? {};
    if (typeof content !== "string") {
      return { refused: `files[${index}].content is required as a string` };
    }
    files.push({
      content,
      name: typeof name === "string" && name !== "" ? name : undefined,
      encoding: encoding === "base64" || encoding === "hex" ? encoding : "utf8",
    });
  }
  return files;
}

function checkLimits(given: JsonObject, most: PistonLimits): string | undefined {
  for (const constraint of ["memory_limit", "timeout", "cpu_time"]) {
    for (const stage of ["compile", "run"] as const) {
      const name = `${stage}_${constraint}`;
      const value = given[name];
      // Piston takes 0, null and "" for left out.
      if (!value) continue;
      if (typeof value !== "number") return `If specified, ${name} must be a number`;
      // Here as there by default memory has no bound of its own to pass, and any negative number is none.
      if (constraint === "memory_limit") continue;
      const bound = mostMs(most, stage);
      if (value > bound) return `${name} cannot exceed the configured limit of ${bound}`;
      if (value < 0) return `${name} must be non-negative`;
    }
  }
  return undefined;
}

// What Piston does not check, and then fails with an empty 500.
function checkProgram({ args, stdin }: JsonObject): string | undefined {
  const areTexts = Array.isArray(args) && args.every((arg) => typeof arg === "string");
  if (!areTexts && args !== undefined && args !== null) return "args must be an array of strings";
  if (typeof stdin !== "string" && stdin !== undefined && stdin !== null) {
    return "stdin must be a string";
  }
  return undefined;
}

function mostMs(most: PistonLimits, stage: Stage): number {
  return stage === "compile" ? most.pistonCompileMs : most.pistonRunMs;
}

function stageLimits(given: JsonObject, most: PistonLimits): Job["limits"] {
  const ms = (stage: Stage, constraint: string) =>
    Math.max(1, Number(given[`${stage}_${constraint}`]) || mostMs(most, stage));
  const of = (stage: Stage): StageLimits => ({
    wallMs: ms(stage, "timeout"),
    cpuMs: ms(stage, "cpu_time"),
  });
  return { compile: of("compile"), run: of("run") };
}

interface SpecParts {
  readonly given: JsonObject;
  readonly runtime: Runtime;
  readonly files: readonly GivenFile[];
  readonly limits: Job["limits"];
}

function toSpec({ given, runtime, files, limits: { compile, run } }: SpecParts): ExecutionSpec {
  const { own } = runtime;
  const { args, stdin } = given;
  // An execution has one bound for both stages; the smaller one of a stage is kept by `runJob`.
  const wallMs = own.compiled ? Math.max(compile.wallMs, run.wallMs) : run.wallMs;
  const cpuMs = own.compiled ? Math.max(compile.cpuMs, run.cpuMs) : run.cpuMs;
  const memoryBytes = memoryOf(given, own.compiled);
  return create(ExecutionSpecSchema, {
    language: own.name,
    version: own.version,
    ...program(files, own),
    stdin: withNewline(typeof stdin === "string" ? stdin : "").toWellFormed(),
    args: textsOf(args).map((arg) => arg.toWellFormed()),
    env: { HOME: "/tmp", PISTON_LANGUAGE: runtime.language },
    limits: {
      wallTime: durationFromMs(wallMs),
      cpuTime: durationFromMs(cpuMs),
      ...(memoryBytes === undefined ? {} : { memoryBytes: BigInt(memoryBytes) }),
    },
  });
}

function textsOf(value: JsonValue | undefined): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

// The larger of both, since they share one; undefined is the installation's own.
function memoryOf(given: JsonObject, compiled: boolean): number | undefined {
  const asked = (stage: Stage) =>
    Math.max(0, Math.floor(Number(given[`${stage}_memory_limit`]) || 0));
  const bytes = Math.max(asked("run"), compiled ? asked("compile") || compileBytes : 0);
  return bytes === 0 ? undefined : Math.max(memoryBytesMin, bytes);
}

function withNewline(stdin: string): string {
  return stdin.endsWith("\n") ? stdin : `${stdin}\n`;
}

// The main file is the first that is text. One without a name that stands alone is named by the sandbox, which for Java
// looks for its class; so is one for Java whose name Piston would not look at, since it starts a file and not a class.
function program(
  files: readonly GivenFile[],
  own: Language,
): Partial<Pick<ExecutionSpec, "code" | "files">> {
  const main = files.find(({ encoding }) => encoding === "utf8");
  if (main === undefined) return {};
  const free = main.name === undefined || own.name === "java";
  if (files.length === 1 && free && main.content !== "") {
    return { code: main.content.toWellFormed() };
  }
  const others = files.filter((file) => file !== main);
  const named = others.map((file) => toFile(file, file.name ?? `file${files.indexOf(file)}.code`));
  return { files: [toFile(main, mainName(main.name, own)), ...named] };
}

function mainName(name: string | undefined, { name: language, extensions }: Language): string {
  const [ending = "code"] = extensions;
  if (name === undefined) return language === "java" ? "Main.java" : `main.${ending}`;
  const fits = extensions.some((extension) => name.endsWith(`.${extension}`));
  return fits || !needsEnding.has(language) ? name : `${name}.${ending}`;
}

function toFile({ content, encoding }: GivenFile, name: string): SourceFile {
  return create(SourceFileSchema, {
    // Piston joins a name to its folder, so a name may begin with a slash.
    name: posix.normalize(name).replace(/^\/+/, "").toWellFormed(),
    body:
      encoding === "utf8"
        ? { case: "content", value: content.toWellFormed() }
        : { case: "contentBase64", value: Buffer.from(content, encoding) },
  });
}

function parseObject(value: JsonValue | undefined): JsonObject | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return value;
}
