// A submission as it is asked for: read as Rails casts it (a number may be a text, null is left out), checked as Judge0
// checks it with the bounds that it has by default, and refused field by field with its words.
import { isUtf8 } from "node:buffer";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { Language } from "@syla/contract/syla/execution/v1/execution";
import { type ArchiveFile, readArchive } from "./archive.ts";
import { splitArguments } from "./arguments.ts";
import { findLanguage, multiFileId, type Offered } from "./languages.ts";

/** The bounds of a submission, by the names that they have there. */
export interface Bounds {
  readonly number_of_runs: number;
  /** In seconds. */
  readonly cpu_time_limit: number;
  /** In seconds. */
  readonly cpu_extra_time: number;
  /** In seconds. */
  readonly wall_time_limit: number;
  /** In KB. */
  readonly memory_limit: number;
  /** In KB. */
  readonly stack_limit: number;
  readonly max_processes_and_or_threads: number;
  /** In KB. */
  readonly max_file_size: number;
}

/** What is to be run. */
export interface Submission {
  readonly language: Offered;
  readonly sourceCode: Buffer;
  readonly stdin: Buffer | undefined;
  readonly expectedOutput: Buffer | undefined;
  readonly bounds: Bounds;
  readonly redirect: boolean;
  readonly argumentLine: string;
  readonly args: readonly string[];
  readonly callbackUrl: string | undefined;
  readonly files: readonly ArchiveFile[];
}

/** Why a submission is refused: the faults of each field. */
export type Faults = Readonly<Record<string, readonly string[]>>;

/** A submission, or why there is none. */
export type Reading = { readonly submission: Submission } | { readonly faults: Faults };

interface Rule {
  readonly least: number;
  /** `least` itself is too little. */
  readonly above?: boolean;
  readonly most: number;
  /** When it is left out. */
  readonly usual: number;
  /** Counted and not measured. */
  readonly whole?: boolean;
}

/** Judge0's own (app/helpers/config.rb, app/models/submission.rb). */
export const rules: Readonly<Record<keyof Bounds, Rule>> = {
  number_of_runs: { least: 0, above: true, most: 20, usual: 1, whole: true },
  cpu_time_limit: { least: 0, most: 15, usual: 5 },
  cpu_extra_time: { least: 0, most: 5, usual: 1 },
  wall_time_limit: { least: 1, most: 20, usual: 10 },
  memory_limit: { least: 2048, most: 512_000, usual: 128_000, whole: true },
  stack_limit: { least: 0, most: 128_000, usual: 64_000, whole: true },
  max_processes_and_or_threads: { least: 0, above: true, most: 120, usual: 60, whole: true },
  max_file_size: { least: 0, most: 4096, usual: 1024, whole: true },
};

const textCharsMax = 512;
const urlCharsMax = 1024;
/** What the contract takes for standard input and for a file, in bytes. */
const textBytesMax = 2 * 1024 ** 2;

export interface ReadOptions {
  readonly languages: readonly Language[];
  /** Texts come in base64. */
  readonly base64: boolean;
  readonly callbacks: boolean;
}

/** Reads one submission. */
export async function readSubmission(
  body: JsonValue | undefined,
  options: ReadOptions,
): Promise<Reading> {
  const reader = new FieldReader(parseObject(body) ?? {}, options.base64);
  const language = reader.language(options.languages);
  const isMultiFile = language?.id === multiFileId;
  const sourceCode = reader.text("source_code");
  if (isMultiFile && sourceCode !== undefined && sourceCode.length > 0) {
    reader.fault("source_code", "must be blank");
  } else if (!isMultiFile && isBlank(sourceCode)) reader.fault("source_code", "can't be blank");
  const bounds = reader.bounds();
  const argumentLine = reader.line("command_line_arguments");
  const args = splitArguments(argumentLine);
  if (args === undefined) {
    reader.fault("command_line_arguments", "have a quote or a backslash without its end");
  }
  const callbackUrl = reader.callback(options.callbacks);
  reader.refuseOptions();
  const redirect = reader.flag("redirect_stderr_to_stdout");
  const stdin = reader.text("stdin");
  if (stdin !== undefined && !isUtf8(stdin)) reader.fault("stdin", "must be UTF-8 text");
  const expectedOutput = reader.text("expected_output");
  const files = await reader.files(isMultiFile);
  const { faults } = reader;
  if (language === undefined || args === undefined || Object.keys(faults).length > 0) {
    return { faults };
  }
  const program = { language, sourceCode: sourceCode ?? Buffer.alloc(0), stdin, files };
  return {
    submission: {
      ...program,
      ...{ expectedOutput, bounds, redirect, argumentLine, args, callbackUrl },
    },
  };
}

/** Collects the faults of the fields that it reads. */
class FieldReader {
  readonly faults: Record<string, string[]> = {};
  readonly #given: JsonObject;
  readonly #base64: boolean;

  constructor(given: JsonObject, base64: boolean) {
    this.#given = given;
    this.#base64 = base64;
  }

  fault(name: string, fault: string): void {
    (this.faults[name] ??= []).push(fault);
  }

  language(languages: readonly Language[]): Offered | undefined {
    const name = "language_id";
    const id = this.#scalar(name);
    if (id === undefined || id === "") this.fault(name, "can't be blank");
    const number = Math.trunc(Number(id ?? NaN));
    const found = Number.isNaN(number) ? undefined : findLanguage(languages, number);
    if (found === undefined) this.fault(name, `language with id ${id ?? ""} doesn't exist`);
    if (found !== "archived") return found;
    this.fault(name, `language with id ${number} is archived and cannot be used anymore`);
    return undefined;
  }

  bounds(): Bounds {
    return {
      number_of_runs: this.#number("number_of_runs"),
      cpu_time_limit: this.#number("cpu_time_limit"),
      cpu_extra_time: this.#number("cpu_extra_time"),
      wall_time_limit: this.#number("wall_time_limit"),
      memory_limit: this.#number("memory_limit"),
      stack_limit: this.#number("stack_limit"),
      max_processes_and_or_threads: this.#number("max_processes_and_or_threads"),
      max_file_size: this.#number("max_file_size"),
    };
  }

  #number(name: keyof Bounds): number {
    const { least, above = false, most, usual, whole = false } = rules[name];
    const given = this.#scalar(name);
    if (given === undefined || given === "") return usual;
    const number = Number(given);
    const limit = (bound: number) => (whole || bound === 0 ? `${bound}` : bound.toFixed(1));
    if (Number.isNaN(number)) this.fault(name, "is not a number");
    else if (number < least || (above && number === least)) {
      this.fault(name, `must be greater than${above ? "" : " or equal to"} ${limit(least)}`);
    } else if (number > most) this.fault(name, `must be less than or equal to ${limit(most)}`);
    return whole ? Math.trunc(number) : number;
  }

  /** A text that may be any bytes when it comes in base64. */
  text(name: string): Buffer | undefined {
    const given = this.#scalar(name);
    if (given === undefined) return undefined;
    const bytes = Buffer.from(given.toWellFormed(), this.#base64 ? "base64" : "utf8");
    if (bytes.length <= textBytesMax) return bytes;
    this.fault(name, `is too long (maximum is ${textBytesMax} bytes)`);
    return undefined;
  }

  /** A short text that is never in base64. */
  line(name: string): string {
    const given = this.#scalar(name) ?? "";
    if (given.length > textCharsMax) {
      this.fault(name, `is too long (maximum is ${textCharsMax} characters)`);
    } else if (given.includes("\0")) this.fault(name, "is invalid");
    return given.toWellFormed();
  }

  flag(name: string): boolean {
    // As Rails casts them.
    const falsy = [undefined, "", "0", "f", "F", "false", "FALSE", "off", "OFF"];
    return !falsy.includes(this.#scalar(name));
  }

  callback(allowed: boolean): string | undefined {
    const url = this.#scalar("callback_url") ?? "";
    if (url.trim() === "") return undefined;
    if (!allowed) this.fault("callback_url", "setting callback is not allowed");
    else if (url.length > urlCharsMax || !isWebUrl(url)) {
      this.fault("callback_url", "must be a URL of http or https without a user in it");
    }
    return url;
  }

  /** What there is no way to do here is refused, not passed over. */
  refuseOptions(): void {
    if (this.line("compiler_options").trim() !== "") {
      this.fault("compiler_options", "setting compiler options is not allowed");
    }
    if (this.flag("enable_network")) {
      this.fault("enable_network", "enabling network is not allowed");
    }
    for (const limit of ["time", "memory"]) {
      const name = `enable_per_process_and_thread_${limit}_limit`;
      if (this.flag(name)) this.fault(name, "this option cannot be enabled");
    }
  }

  /** The files of the archive, which is always in base64. */
  async files(needed: boolean): Promise<readonly ArchiveFile[]> {
    const name = "additional_files";
    const given = this.#scalar(name) ?? "";
    if (given === "") {
      if (needed) this.fault(name, "can't be blank");
      return [];
    }
    const archive = await readArchive(Buffer.from(given, "base64"));
    if ("files" in archive) return archive.files;
    this.fault(name, archive.fault);
    return [];
  }

  // Lists and objects are passed over, as everything that is not asked for.
  #scalar(name: string): string | undefined {
    const value = this.#given[name];
    if (value === undefined || value === null || typeof value === "object") return undefined;
    return String(value);
  }
}

function isBlank(bytes: Buffer | undefined): boolean {
  return bytes === undefined || /^\s*$/.test(bytes.toString("latin1"));
}

function isWebUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return /^https?:$/.test(protocol) && username === "" && password === "";
}

function parseObject(value: JsonValue | undefined): JsonObject | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return value;
}
