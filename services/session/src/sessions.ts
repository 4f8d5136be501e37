// All sessions of this platform: made, found, listed, and their ends recorded.
import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ProcessService } from "@syla/contract/syla/sandbox/v1/process";
import type { Language, RunnerService } from "@syla/contract/syla/sandbox/v1/runner";
import {
  type Sandbox,
  Sandbox_Status as SandboxStatus,
  type SandboxService,
  SandboxSpecSchema,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import {
  type SessionLanguage,
  SessionLanguageSchema,
} from "@syla/contract/syla/session/v1/language";
import {
  type ListSessionsRequest,
  type Session as SessionMessage,
  SessionSchema,
  type SessionSpec,
  SessionSpecSchema,
  Session_Status as Status,
} from "@syla/contract/syla/session/v1/session";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import type { Clock } from "@syla/kit/clock";
import { SylaError } from "@syla/kit/error";
import { uuidv7 } from "@syla/kit/id";
import { readPage } from "@syla/kit/list";
import type { Log } from "@syla/kit/log";
import type { PageTokens } from "@syla/kit/page-token";
import type { Sql } from "@syla/kit/sql";
import { invalidRequest } from "@syla/kit/validate";
import type { SessionConfig } from "./config.ts";
import { Kernel, type KernelListener } from "./kernel.ts";
import { kernelLanguages, kernelProgram, type KernelProgram } from "./kernels.ts";
import { Session } from "./session.ts";
import { endedError } from "./session-end.ts";
import { filterColumns, parseSession, readSession, takeSessions, writeSession } from "./store.ts";

export interface SessionsOptions {
  readonly config: SessionConfig;
  readonly runner: Client<typeof RunnerService>;
  readonly sandboxes: Client<typeof SandboxService>;
  readonly processes: Client<typeof ProcessService>;
  readonly sql: Sql;
  readonly pageTokens: PageTokens;
  /** This platform process. */
  readonly instanceId: string;
  /** How long a process may be silent before it counts as dead, in milliseconds. */
  readonly instanceDeadMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

interface Entry {
  readonly session: Session;
  /** Extends the sandbox that was made for it. */
  readonly extending: NodeJS.Timeout | undefined;
  /** Its row is to be written. */
  writing: NodeJS.Timeout | undefined;
  /** It has ended; resolves when that is recorded. */
  settled: Promise<void>;
}

/** A sandbox that was made for a session outlives it by no more than this, should this process die alone. */
const sandboxMs = 300_000;
const extendMs = 60_000;
const directoryDefault = "/work";
const labelsMax = 64;

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #there = new Map<string, Entry>();
  /** Those that are being made count as there. */
  #making = 0;
  #stopping = false;

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#there.size;
  }

  /** Makes one; it is recorded and can run a cell when this resolves. */
  async make(spec: SessionSpec | undefined, context: CallContext): Promise<SessionMessage> {
    const { sessionsMax } = this.#options.config;
    if (this.#stopping)
      throw new SylaError("shutting_down", "Cannot make a session: the platform is stopping.");
    if (this.#there.size + this.#making >= sessionsMax) {
      const detail = `${sessionsMax} are there already`;
      throw new SylaError("sessions_full", `Cannot make a session: ${detail}.`);
    }
    this.#making += 1;
    try {
      return await this.#make(spec ?? create(SessionSpecSchema), context);
    } finally {
      this.#making -= 1;
    }
  }

  /** One that is there; throws `session_not_found`, or `session_ended` saying how. */
  async find(id: string): Promise<Session> {
    const there = this.#there.get(id);
    if (there !== undefined) return there.session;
    throw endedError(await this.#read(id));
  }

  /** What is known of one, also when it has ended. */
  async get(id: string): Promise<SessionMessage> {
    return this.#there.get(id)?.session.message ?? this.#read(id);
  }

  /** A page, newest first. */
  async list(request: ListSessionsRequest) {
    const { sql, pageTokens } = this.#options;
    const list = { sql, pageTokens, table: "sessions", columns: filterColumns };
    const page = await readPage(request, { ...list, parse: parseSession });
    // What is there is known better here.
    const items = page.items.map((item) => this.#there.get(item.id)?.session.message ?? item);
    return { ...page, items };
  }

  /** Changes labels of one that is there; it is recorded when this resolves. */
  async update(
    id: string,
    metadata: Readonly<Record<string, string>>,
    remove: readonly string[],
  ): Promise<SessionMessage> {
    const session = await this.find(id);
    session.touch();
    if (Object.keys(metadata).length === 0 && remove.length === 0) return session.message;
    const kept = Object.entries(session.message.metadata).filter(([key]) => !remove.includes(key));
    const labels = { ...Object.fromEntries(kept), ...metadata };
    const count = Object.keys(labels).length;
    if (count > labelsMax) {
      const detail = `would have ${count} labels, more than ${labelsMax}`;
      throw invalidRequest([{ pointer: "/metadata", detail, rule: "map.max_pairs" }]);
    }
    session.message.metadata = labels;
    await writeSession(this.#options.sql, this.#options.instanceId, session.message);
    return session.message;
  }

  /** The languages that have an interpreter here, each at its default version. */
  async languages(context: CallContext): Promise<SessionLanguage[]> {
    const { runner } = this.#options;
    const found = kernelLanguages.map(async (language) => {
      try {
        return await runner.getLanguage({ language }, { parent: context });
      } catch (error) {
        if (error instanceof SylaError && error.code === "unknown_language") return undefined;
        throw error;
      }
    });
    const there = (await Promise.all(found)).filter((language) => language !== undefined);
    return there.map(({ name, version, aliases, extensions }) =>
      create(SessionLanguageSchema, { name, version, aliases, extensions }),
    );
  }

  /** Ends one that is there; answers it as it then is. */
  async delete(id: string): Promise<SessionMessage> {
    const there = this.#there.get(id);
    there?.session.end("deleted");
    await there?.settled;
    return there?.session.message ?? this.#read(id);
  }

  /** Marks what dead platforms had as LOST: their interpreters died with them. */
  async recover(): Promise<void> {
    const { sql, instanceId, instanceDeadMs, clock } = this.#options;
    for (const message of await takeSessions(sql, instanceId, instanceDeadMs)) {
      message.status = Status.LOST;
      message.endReason = "lost";
      message.endMessage = "The platform died while it was there, and it with the platform.";
      message.endedAt = timestampFromMs(clock.now());
      await writeSession(sql, instanceId, message);
    }
  }

  /** Ends all of them. */
  async close(): Promise<void> {
    this.#stopping = true;
    const entries = [...this.#there.values()];
    for (const { session } of entries) session.end("stopped");
    await Promise.all(entries.map(({ settled }) => settled));
  }

  async #read(id: string): Promise<SessionMessage> {
    const found = await readSession(this.#options.sql, id);
    if (found !== undefined) return found;
    throw new SylaError("session_not_found", `Cannot find a session with the id ${id}.`);
  }

  async #make(spec: SessionSpec, context: CallContext): Promise<SessionMessage> {
    const { runner, sandboxes } = this.#options;
    const asked = { language: spec.language === "" ? "python" : spec.language };
    const language = await runner.getLanguage(
      { ...asked, version: spec.version },
      { parent: context },
    );
    const program = kernelProgram(language.name);
    if (program === undefined) throw noKernel(language.name);
    const sandbox = await this.#sandbox(spec, language, context);
    try {
      return await this.#open(spec, language, program, sandbox);
    } catch (error) {
      if (spec.sandbox === "") await sandboxes.killSandbox({ id: sandbox.id });
      throw explained(error, language, sandbox);
    }
  }

  /** The one that is named, or one made for it. */
  #sandbox(spec: SessionSpec, language: Language, context: CallContext): Promise<Sandbox> {
    const { sandboxes } = this.#options;
    if (spec.sandbox !== "") return sandboxes.getSandbox({ id: spec.sandbox }, { parent: context });
    const { name, version } = language;
    const lifetime = spec.sandboxSpec?.lifetime ?? durationFromMs(sandboxMs);
    const made = create(SandboxSpecSchema, spec.sandboxSpec ?? {});
    return sandboxes.createSandbox({ spec: { ...made, language: name, version, lifetime } });
  }

  async #open(
    spec: SessionSpec,
    language: Language,
    program: KernelProgram,
    sandbox: Sandbox,
  ): Promise<SessionMessage> {
    const { config, clock } = this.#options;
    if (sandbox.status !== SandboxStatus.RUNNING)
      await this.#options.sandboxes.resumeSandbox({ id: sandbox.id });
    const message = this.#message(spec, language, sandbox);
    const session = await Session.start({
      ...{ message, config, clock },
      startKernel: (listener) => this.#startKernel(spec, language, program, message, listener),
      changed: () => this.#changed(message.id),
      ended: () => this.#ended(message.id),
    });
    const extending =
      message.ownsSandbox && spec.sandboxSpec?.lifetime === undefined
        ? setInterval(() => void this.#extend(message.sandbox), extendMs).unref()
        : undefined;
    const entry: Entry = { session, extending, writing: undefined, settled: Promise.resolve() };
    this.#there.set(message.id, entry);
    try {
      await writeSession(this.#options.sql, this.#options.instanceId, message);
    } catch (error) {
      session.end("stopped");
      throw error;
    }
    return message;
  }

  #startKernel(
    spec: SessionSpec,
    language: Language,
    program: KernelProgram,
    { sandbox, directory }: SessionMessage,
    listener: KernelListener,
  ): Kernel {
    const { processes, config } = this.#options;
    const env = { ...language.env, ...program.env, ...spec.env };
    return new Kernel({
      ...{ processes, sandbox, program, listener },
      interpreter: language.program,
      spec: { directory, env },
      wordBytesMax: config.wordBytes,
    });
  }

  #message(spec: SessionSpec, language: Language, sandbox: Sandbox): SessionMessage {
    const { config, clock } = this.#options;
    const now = timestampFromMs(clock.now());
    return create(SessionSchema, {
      ...{ id: uuidv7(), language: language.name, version: language.version },
      directory: spec.directory === "" ? directoryDefault : spec.directory,
      ...{ sandbox: sandbox.id, ownsSandbox: spec.sandbox === "", metadata: spec.metadata },
      idleTimeout: spec.idleTimeout ?? durationFromMs(config.idleMs),
      ...{ createdAt: now, activeAt: now },
    });
  }

  async #extend(sandbox: string): Promise<void> {
    try {
      const lifetime = durationFromMs(sandboxMs);
      await this.#options.sandboxes.extendSandbox({ id: sandbox, lifetime });
    } catch (error) {
      // One that has ended has told so by its interpreter.
      this.#options.log.debug({ error, sandbox }, "the sandbox of a session is not extended");
    }
  }

  /** Writes its row, in a while: not once for every cell. */
  #changed(id: string): void {
    const entry = this.#there.get(id);
    if (entry === undefined || entry.session.message.status === Status.ENDED) return;
    entry.writing ??= setTimeout(() => {
      entry.writing = undefined;
      void this.#write(entry.session.message);
    }, writeMs).unref();
  }

  #ended(id: string): void {
    const entry = this.#there.get(id);
    if (entry === undefined) return;
    clearInterval(entry.extending);
    clearTimeout(entry.writing);
    entry.settled = this.#settle(entry.session.message);
  }

  /** Its sandbox ends with it, and its end is recorded. */
  async #settle(message: SessionMessage): Promise<void> {
    const { sandboxes, log } = this.#options;
    if (message.ownsSandbox) {
      await sandboxes.killSandbox({ id: message.sandbox }).catch((error: unknown) => {
        log.warn({ error, sandbox: message.sandbox }, "the sandbox of a session is not ended");
      });
    }
    for (let turn = 0; !(await this.#write(message)); turn += 1) {
      if (this.#stopping || turn === endWritesMax) return;
      await this.#options.clock.sleep(endWriteMs);
    }
    this.#there.delete(message.id);
  }

  /** Whether it could. */
  async #write(message: SessionMessage): Promise<boolean> {
    const { sql, instanceId, log } = this.#options;
    try {
      await writeSession(sql, instanceId, message);
      return true;
    } catch (error) {
      log.warn({ error, session: message.id }, "a session is not recorded");
      return false;
    }
  }
}

/** A row is written no more often than this. */
const writeMs = 500;
/** How often the end of one is tried to be written, for a database that is away for a while. */
const endWriteMs = 5000;
const endWritesMax = 720;

/** A sandbox that was made for a language has the tools of that one, and of others what is with the system's. */
function explained(error: unknown, { name }: Language, { language }: Sandbox): unknown {
  const isOther = language !== "" && language !== name;
  const isUnstarted = error instanceof SylaError && error.code === "interpreter_not_started";
  if (!isOther || !isUnstarted) return error;
  const why = `The sandbox was made for ${language}: one that is made for no language has the tools of all.`;
  return new SylaError("interpreter_not_started", `${error.message} ${why}`);
}

function noKernel(name: string): SylaError {
  const detail = `is not one of ${kernelLanguages.join(", ")}`;
  return new SylaError("unknown_language", `There are no sessions of ${name}.`, {
    violations: [{ pointer: "/spec/language", detail, rule: "language.session" }],
  });
}
