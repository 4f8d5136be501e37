// `syla doctor`: the platform's own probes of this host, one line each, with the line to type for what is missing.
import { execFile } from "node:child_process";
import { type Command, jsonFlag, noPositionals, parseFlags } from "./command.ts";
import { platformMain } from "./embedded.ts";
import { platformFailure } from "./failure.ts";
import { print } from "./output.ts";
import { printable, table, toned } from "./render.ts";
import { formatSpan } from "./size.ts";

/** The `doctor` command. */
export const doctor: Command = {
  usage: "doctor [--json]",
  about: `Probes what this host can do, and says of everything that is missing how to get it. Exits with 0
when all that is needed is there, else with 1.`,
  flags: jsonFlag,
  examples: [
    ["syla doctor", "one line per capability and language"],
    ["syla doctor --json", "the same for a program"],
  ],
  execute,
};

/** One thing that a host can or cannot do. */
export interface Capability {
  readonly name: string;
  readonly ok: boolean;
  readonly required: boolean;
  readonly detail: string;
  readonly remedy: string;
}

/** One language, as a host has it. */
export interface HostLanguage {
  readonly name: string;
  readonly version: string;
  readonly firstRunMs: number | undefined;
  readonly note: string;
}

/** What the platform found out about its host. */
export interface Diagnosis {
  readonly capabilities: readonly Capability[];
  readonly languages: readonly HostLanguage[];
}

async function execute(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(jsonFlag, args);
  noPositionals(positionals);
  const text = await probe();
  const diagnosis = parseDiagnosis(text);
  await print(values.json === true ? `${text.trim()}\n` : renderDiagnosis(diagnosis));
  return diagnosis.capabilities.every(({ ok, required }) => ok || !required) ? 0 : 1;
}

// Its exit code says no more than its answer does, so an answer that can be read is enough.
async function probe(): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  execFile(process.execPath, [platformMain(), "doctor", "--json"], (error, stdout, stderr) => {
    if (stdout.trimStart().startsWith("{")) resolve(stdout);
    else
      reject(platformFailure(`The host could not be probed: ${stderr.trim() || error?.message}`));
  });
  return await promise;
}

/** Reads what the platform printed. */
export function parseDiagnosis(text: string): Diagnosis {
  const { capabilities = [], languages = [] } = JSON.parse(text) as {
    capabilities?: Partial<Capability>[];
    languages?: Partial<HostLanguage>[];
  };
  return {
    capabilities: capabilities.map(
      ({ name = "?", ok = false, required = false, detail = "", remedy = "" }) => ({
        name,
        ok,
        required,
        detail,
        remedy,
      }),
    ),
    languages: languages.map(({ name = "?", version = "", firstRunMs, note = "" }) => ({
      name,
      version,
      firstRunMs,
      note,
    })),
  };
}

/** A diagnosis for a person. */
export function renderDiagnosis({ capabilities, languages }: Diagnosis): string {
  const missing = capabilities.filter(({ ok, required }) => required && !ok);
  const end =
    missing.length === 0
      ? toned("good", "This host can run programs.")
      : toned(
          "bad",
          `This host cannot run programs: ${missing.map(({ name }) => name).join(", ")} missing.`,
        );
  return [
    table(capabilities.map(capabilityRow)),
    languages.length === 0 ? "" : `\n${table(languages.map(languageRow))}`,
    `\n${end}\n`,
  ].join("");
}

function capabilityRow({ name, ok, required, detail, remedy }: Capability): string[] {
  const mark = ok
    ? toned("good", "ok")
    : required
      ? toned("bad", "missing")
      : toned("warning", "without");
  const how = ok || remedy === "" ? "" : ` → ${toned("strong", printable(remedy))}`;
  return [mark, printable(name), `${printable(detail)}${how}`];
}

function languageRow({ name, version, firstRunMs, note }: HostLanguage): string[] {
  const ran = firstRunMs === undefined ? [] : [`first run in ${formatSpan(firstRunMs)}`];
  const about = note === "" ? ran : [...ran, printable(note)];
  return [printable(name), printable(version), about.join("; ")];
}
