/**
 * What the tests of fidelity share: a program is run by an interpreter that was there before it and by one that is
 * executed for it, in jails that are otherwise the same, and must not be able to tell which it was.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { present } from "@syla/kit/assert";
import { buildAgent } from "../jail/agent-build.ts";
import { openCgroups } from "../cgroup/cgroup.ts";
import { openJail } from "../jail/jail.ts";
import { MIB, runIn } from "../jail/fixture.ts";
import { heldOf, type JailsOptions } from "../jail/jails.ts";
import { openSpawner } from "../jail/spawner.ts";
import { DEFAULT_ENVIRONMENT } from "../jail/step.ts";
import { discoverLanguages, type Language } from "./languages.ts";
import { prepareRoot, ZYGOTE_LIBRARY } from "../jail/root.ts";
import { seccompFilter } from "../seccomp/seccomp.ts";
import { openZygote, type Zygote } from "../jail/zygote.ts";

type Content = string | Uint8Array;

export interface Program {
  /** The first is what is run. */
  readonly files: Readonly<Record<string, Content>>;
  /** Instead of the first file, a folder. */
  readonly run?: readonly [string];
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: Content;
}

/** A text alone is the file that is run, with the language's usual name. */
export type Programs = Readonly<Record<string, Content | Program>>;

export interface Shown {
  readonly stdout: string;
  readonly stderr: string;
  /** `exited 0`, `signalled 11`. */
  readonly end: string;
}

type Way = "started" | "executed";

interface Fidelity {
  readonly languages: readonly Language[];
  /** What jails are made of, for those of a platform. */
  readonly parts: Pick<JailsOptions, "root" | "cgroups" | "spawner" | "filter">;
  readonly run: (language: Language, program: Content | Program, way: Way) => Promise<Shown>;
  readonly close: () => Promise<void>;
}

const limits = { memoryBytes: 512 * MIB, pids: 64 };
const disk = { diskBytes: 16 * MIB, diskInodes: 1000 };
/** Two cores: more at a time would only make each slower. */
const concurrency = 3;

async function openFidelity(): Promise<Fidelity> {
  const directory = mkdtempSync(join(tmpdir(), "fidelity-test-"));
  const kept = join(tmpdir(), `syla-agent-test-${process.getuid?.()}`);
  const { path: agentPath, zygote: zygoteFiles, gatePath } = await buildAgent({ directory: kept });
  const files = { agentPath, zygote: zygoteFiles, gatePath };
  const root = prepareRoot({ directory: join(directory, "root"), ...files });
  const [cgroups, spawner] = [await openCgroups(), await openSpawner({ agentPath })];
  const filter = seccompFilter();
  const { signal } = new AbortController();
  const languages = await discoverLanguages({ cacheDirectory: directory, signal });
  const zygotes = new Map<Language, Zygote>();

  async function zygoteOf(language: Language): Promise<Zygote | undefined> {
    const { binds, env, zygote: argv } = language;
    if (argv === undefined || !root.zygotes) return undefined;
    const environment = { ...DEFAULT_ENVIRONMENT, ...env, LD_PRELOAD: ZYGOTE_LIBRARY };
    const program = { argv, env: environment };
    const zygote = zygotes.get(language) ?? openZygote({ root, spawner, filter, binds, program });
    zygotes.set(language, zygote);
    await zygote.ready;
    return zygote;
  }

  async function run(language: Language, given: Content | Program, way: Way): Promise<Shown> {
    const isFile = typeof given === "string" || given instanceof Uint8Array;
    const program: Program = isFile ? { files: { [language.defaultFile]: given } } : given;
    const { args = [], stdin } = program;
    const zygote = way === "started" ? await zygoteOf(language) : undefined;
    const held = way === "started" ? heldOf(language, limits) : undefined;
    const { binds } = language;
    const slot = cgroups.acquire(limits);
    slot.begin(limits);
    const jail = openJail({ root, spawner, slot, filter, zygote, binds, held, ...disk });
    try {
      await jail.ready;
      for (const [path, content] of Object.entries(program.files)) {
        jail.writeFile({ path, content: Buffer.from(content) });
      }
      const argv = language.run(program.run ?? Object.keys(program.files), args, limits);
      const ran = await runIn(jail, held === undefined ? argv : argv.slice(-1 - args.length), {
        start: held !== undefined ? "release" : zygote !== undefined ? "fork" : "execute",
        env: { ...language.env, ...program.env },
        ...(stdin === undefined ? {} : { stdin: Buffer.from(stdin) }),
      });
      const { kind, code } = present(ran.end.end, ran.end.detail ?? "the program's end");
      return { stdout: plain(ran.stdout), stderr: plain(ran.stderr), end: `${kind} ${code}` };
    } finally {
      await jail.close();
    }
  }

  async function close(): Promise<void> {
    for (const zygote of zygotes.values()) await zygote.close();
    await spawner.close();
    await cgroups.close();
    rmSync(directory, { recursive: true, force: true });
  }
  return { languages, parts: { root, cgroups, spawner, filter }, run, close };
}

/** Without what differs from process to process: addresses, and numbers of threads, which are addresses too. */
function plain(text: string): string {
  return text.replaceAll(/0x[0-9a-f]{6,}|\b1[34]\d{13}\b/g, "ADDRESS");
}

/** Opened before a file's tests, closed after them. */
export function fidelityOf(): () => Fidelity {
  let opened: Fidelity | undefined;
  before(async () => void (opened = await openFidelity()));
  after(() => opened?.close());
  return () => present(opened, "it is opened before the tests");
}

export interface Comparison {
  readonly title: string;
  readonly fidelity: () => Fidelity;
  readonly language: (languages: readonly Language[]) => Language;
  readonly programs: Programs;
}

/** A test for each program: the same output, the same errors, the same end. */
export function compare({ title, fidelity, language, programs }: Comparison): void {
  describe(title, { concurrency }, () => {
    for (const [name, program] of Object.entries(programs)) {
      it(name, async () => {
        const { run, languages } = fidelity();
        const chosen = language(languages);
        const executed = await run(chosen, program, "executed");
        assert.deepEqual(await run(chosen, program, "started"), executed);
      });
    }
  });
}

/** What may be told apart, each with its reason. That it can be is tested too, or the list would outlive its truth. */
export function differ(options: Omit<Comparison, "programs">, accepted: Programs): void {
  describe(options.title, { concurrency }, () => {
    for (const [reason, program] of Object.entries(accepted)) {
      it(reason, async () => {
        const { run, languages } = options.fidelity();
        const chosen = options.language(languages);
        const executed = await run(chosen, program, "executed");
        const started = await run(chosen, program, "started");
        assert.equal(executed.stderr + started.stderr, "", "both run");
        assert.notEqual(started.stdout, executed.stdout);
      });
    }
  });
}
