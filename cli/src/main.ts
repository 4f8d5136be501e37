#!/usr/bin/env node
// The `syla` command. Each command is a module that is loaded when it is called: most of the time a short command
// takes is loading what it does not need.
import type { Command, Entries, Group } from "./command.ts";
import { exitCodes, Failure, usageFailure } from "./failure.ts";

const commands: Entries = {
  run: { about: "run a program in a fresh jail", load: async () => (await import("./run.ts")).run },
  up: {
    about: "start the platform in the foreground",
    load: async () => (await import("./up.ts")).up,
  },
  doctor: {
    about: "what this host can do, and what is missing",
    load: async () => (await import("./doctor.ts")).doctor,
  },
  languages: {
    about: "the languages that programs can be written in",
    load: async () => (await import("./languages.ts")).languages,
  },
  ps: { about: "list executions", load: async () => (await import("./ps.ts")).ps },
  logs: { about: "the output of an execution", load: async () => (await import("./logs.ts")).logs },
  get: { about: "one execution", load: async () => (await import("./get.ts")).get },
  repl: {
    about: "an interpreter that remembers, in a jail",
    load: async () => (await import("./repl/repl.ts")).repl,
  },
  shell: {
    about: "a terminal in a sandbox",
    load: async () => (await import("./shell.ts")).shell,
  },
  sandbox: {
    about: "sandboxes that stay: make, use and end them",
    load: async () => (await import("./sandbox/sandbox.ts")).sandbox,
  },
  mcp: {
    about: "the tools for language models, on standard input and output",
    load: async () => (await import("./mcp/mcp.ts")).mcp,
  },
  template: {
    about: "what sandboxes can begin with: declare and build it",
    load: async () => (await import("./template/template.ts")).template,
  },
  cancel: { about: "end an execution", load: async () => (await import("./cancel.ts")).cancel },
};

async function main(args: string[]): Promise<number> {
  const [name = "help", ...rest] = args;
  const { print } = await import("./output.ts");
  if (name === "--version" || name === "-V") {
    const { default: manifest } = await import("../package.json", { with: { type: "json" } });
    await print(`syla ${manifest.version}\n`);
    return 0;
  }
  const asked = isHelp(name) ? rest : args;
  if (asked.length === 0) {
    await print(overview());
    return 0;
  }
  const { command, left } = await find(commands, asked);
  if (isHelp(name) || wantsHelp(left) || "commands" in command) {
    const { helpPage } = await import("./command.ts");
    await print(helpPage(command));
    return 0;
  }
  return command.execute(left);
}

interface Found {
  readonly command: Command | Group;
  /** The arguments after its name. */
  readonly left: string[];
}

async function find(entries: Entries, [name = "", ...left]: string[]): Promise<Found> {
  const entry = Object.hasOwn(entries, name) ? entries[name] : undefined;
  if (entry === undefined) throw new UnknownCommand(name, Object.keys(entries));
  const command = await entry.load();
  const [next] = left;
  if (!("commands" in command) || next === undefined || isHelp(next)) return { command, left };
  return find(command.commands, left);
}

/** Told apart so that its suggestion is only computed when it is printed. */
class UnknownCommand extends Error {
  readonly known: readonly string[];

  constructor(name: string, known: readonly string[]) {
    super(name);
    this.known = known;
  }
}

function isHelp(argument: string): boolean {
  return ["help", "--help", "-h"].includes(argument);
}

function wantsHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  return own.includes("--help") || own.includes("-h");
}

function overview(): string {
  const rows = Object.entries(commands).map(([name, { about }]) => `  ${name.padEnd(11)}${about}`);
  return `Syla runs code you do not trust.

  syla COMMAND [FLAGS]

${rows.join("\n")}
  help       how to use a command, the same as syla COMMAND --help

  SYLA_URL    the platform to use; else the one that runs on the data folder, else one just for the call
  SYLA_TOKEN  sent to it as its API key; else the key of the data folder, to the platform found there
  SYLA_DATA   the data folder, .syla by default

Examples:
  syla run examples/primes.py
  echo 'print(6*7)' | syla run -l python -
  syla up
`;
}

async function toFailure(thrown: unknown): Promise<Failure> {
  if (thrown instanceof Failure) return thrown;
  if (thrown instanceof UnknownCommand) {
    const { suggestion } = await import("./nearest.ts");
    const near = suggestion(thrown.message, thrown.known);
    return usageFailure(`There is no command '${thrown.message}'.${near} See 'syla help'.`);
  }
  const refusal = await import("./refusal.ts");
  return refusal.toFailure(thrown);
}

async function fail(thrown: unknown): Promise<number> {
  const { note, ReaderLeft } = await import("./output.ts");
  if (thrown instanceof ReaderLeft) return thrown.exitCode;
  const failure = await toFailure(thrown);
  // Lines are ours; anything else that a terminal would obey came from elsewhere.
  await note(failure.message.replaceAll(/[^\P{Cc}\n]/gu, " ")).catch(() => {});
  return failure.exitCode;
}

const { guardOutput } = await import("./output.ts");
guardOutput();
process.exit(
  await main(process.argv.slice(2))
    .catch(fail)
    .catch(() => exitCodes.platform),
);
