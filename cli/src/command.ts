// A command is a name, its flags with their help, and a function from arguments to an exit code. Its help page and
// its errors are made from the same table that parses its flags.
import { parseArgs, type ParseArgsOptionDescriptor } from "node:util";
import { usageFailure } from "./failure.ts";
import { suggestion } from "./nearest.ts";

/** One flag: how it is parsed, and what help says of it. */
export interface Flag extends ParseArgsOptionDescriptor {
  /** One line for the help page. */
  readonly help: string;
  /** What stands for its value there, for example `DURATION`. */
  readonly hint?: string;
}

/** A command's flags by name. */
export type Flags = Readonly<Record<string, Flag>>;

/** One command of the CLI. */
export interface Command {
  /** What follows `syla`, for example `run [FILE|-] [-- ARGS…]`. */
  readonly usage: string;
  /** What it does, in a sentence or two. */
  readonly about: string;
  readonly flags: Flags;
  /** Lines to copy, each with what it shows. */
  readonly examples: readonly (readonly [line: string, shows: string])[];
  /** Does it, and answers the exit code. */
  readonly execute: (args: string[]) => Promise<number>;
}

/** A command as a list of commands shows it; its module is loaded when it is called. */
export interface Entry {
  readonly about: string;
  readonly load: () => Promise<Command | Group>;
}

/** Commands by name. */
export type Entries = Readonly<Record<string, Entry>>;

/** Commands that go together under one name. */
export interface Group extends Pick<Command, "usage" | "about" | "examples"> {
  readonly commands: Entries;
}

/** The flag that every command that lists or gets something has. */
export const jsonFlag = {
  json: { type: "boolean", help: "print JSON" },
} as const satisfies Flags;

/** Flags and positional arguments of a command line; a mistake is told with the nearest flag. */
export function parseFlags<const F extends Flags>(flags: F, args: string[]) {
  try {
    return parseArgs({ args, options: flags, allowPositionals: true, strict: true, tokens: true });
  } catch (thrown) {
    throw usageFailure(explain(flags, args, thrown));
  }
}

/** The same, with the positional arguments after `--` apart from those before it. */
export function parseFlagsAndRest<const F extends Flags>(flags: F, args: string[]) {
  const { values, positionals, tokens } = parseFlags(flags, args);
  const split = tokens.find((token) => token.kind === "option-terminator")?.index ?? args.length;
  const rest = args.slice(split + 1);
  return { values, positionals: positionals.slice(0, positionals.length - rest.length), rest };
}

function explain(flags: Flags, args: string[], thrown: unknown): string {
  const known = Object.entries(flags).flatMap(([name, { short }]) =>
    short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`],
  );
  const { tokens } = parseArgs({ args, options: flags, strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind === "option" && !Object.hasOwn(flags, token.name)) {
      return `There is no flag ${token.rawName}.${suggestion(token.rawName, known)}`;
    }
  }
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The single positional argument of a command, which must be there. */
export function onePositional(positionals: readonly string[], name: string): string {
  const [value, extra] = positionals;
  if (value === undefined) throw usageFailure(`${name} is missing.`);
  if (extra !== undefined) throw usageFailure(`There is one ${name} too many: '${extra}'.`);
  return value;
}

/** Refuses positional arguments, for commands that take none. */
export function noPositionals(positionals: readonly string[]): void {
  const [extra] = positionals;
  if (extra !== undefined) throw usageFailure(`The argument '${extra}' is not expected.`);
}

/** The help page of a command, or of a group. */
export function helpPage(command: Command | Group): string {
  const { usage, about, examples } = command;
  const isGroup = "commands" in command;
  const rows = isGroup
    ? Object.entries(command.commands).map(([name, entry]) => [name, entry.about])
    : Object.entries(command.flags).map(([name, flag]) => [flagLabel(name, flag), flag.help]);
  const width = Math.max(0, ...rows.map(([label = ""]) => label.length));
  const lines = rows.map(([label = "", help = ""]) => `  ${label.padEnd(width)}  ${help}`);
  const exampleLines = examples.map(([line, shows]) => `  ${line}\n      ${shows}`);
  return [
    `syla ${usage}`,
    "",
    about,
    ...(lines.length === 0 ? [] : ["", isGroup ? "Commands:" : "Flags:", ...lines]),
    "",
    "Examples:",
    ...exampleLines,
    "",
  ].join("\n");
}

function flagLabel(name: string, { short, type, hint, multiple }: Flag): string {
  const value = type === "string" ? ` ${hint ?? "TEXT"}` : "";
  const letter = short === undefined ? "    " : `-${short}, `;
  return `${letter}--${name}${value}${multiple === true ? " …" : ""}`;
}
