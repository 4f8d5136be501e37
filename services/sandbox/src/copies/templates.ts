// All templates: declared, built once, kept and forgotten. One that is declared again as it was is not built again,
// however many declare it at the same time: whose row it is builds it.
import { createHash } from "node:crypto";
import { create, type JsonValue, toJson } from "@bufbuild/protobuf";
import { durationFromMs, durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { SandboxSpecSchema } from "@syla/contract/syla/sandbox/v1/sandbox";
import {
  type ListTemplatesRequest,
  type Template,
  type TemplateEvent,
  TemplateSchema,
  TemplateSpecSchema,
  type TemplateSpec,
  Template_Status as Status,
} from "@syla/contract/syla/sandbox/v1/template";
import type { CallContext } from "@syla/kit/call";
import type { Clock } from "@syla/kit/clock";
import { SylaError, toSylaError } from "@syla/kit/error";
import { uuidv7 } from "@syla/kit/id";
import { readPage } from "@syla/kit/list";
import type { Log } from "@syla/kit/log";
import type { PageTokens } from "@syla/kit/page-token";
import type { Sql } from "@syla/kit/sql";
import type { Blobs } from "./blobs.ts";
import type { Offer } from "../languages/offer.ts";
import { offered } from "../languages/offered.ts";
import { templateNotFound } from "./origin.ts";
import { publicPolicy } from "../network/policy.ts";
import { SandboxNetwork } from "../network/sandbox-network.ts";
import type { Sandboxes } from "../sandboxes.ts";
import { withFiles } from "./snapshots.ts";
import { buildTemplate, templateEnvironment } from "./template-build.ts";
import type { Trees } from "./trees.ts";
import { readEvents, TemplateLog } from "./template-log.ts";
import {
  countTemplates,
  declareTemplate,
  endTemplate,
  parseTemplate,
  readTemplate,
  readTemplateLog,
  removeTemplate,
  takeTemplates,
  templateColumns,
} from "./template-store.ts";

export interface TemplatesOptions {
  readonly sandboxes: Sandboxes;
  readonly blobs: Blobs;
  /** Undefined on a host that cannot isolate. */
  readonly trees: Trees | undefined;
  readonly offer: Offer;
  readonly sql: Sql;
  readonly pageTokens: PageTokens;
  /** This platform process, and how long another may be silent before it counts as dead. */
  readonly instanceId: string;
  readonly instanceDeadMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** One that is being built here. */
interface Build {
  readonly template: Template;
  readonly log: TemplateLog;
  /** Why it is ended before its time. */
  cancelled: string | undefined;
  done: Promise<void>;
}

const templatesMax = 1000;
const timeoutMsDefault = 600_000;
/** The sandbox of a build lives longer than the build may take, so that the build ends it. */
const marginMs = 60_000;
/** How often it is looked whether a build on another platform has ended. */
const lookMs = 1000;
/** How often, and after how long, the end of a build is written again when the database does not answer. */
const writesMax = 5;
const writeAgainMs = 2000;

export class Templates {
  readonly #options: TemplatesOptions;
  /** By the template's id. */
  readonly #builds = new Map<string, Build>();
  #stopping = false;

  constructor(options: TemplatesOptions) {
    this.#options = options;
  }

  /** Declares one; what has to be built is built in the background. */
  async declare(spec: TemplateSpec): Promise<Template> {
    const { sql, instanceId, blobs } = this.#options;
    if (this.#stopping) {
      throw new SylaError("shutting_down", "Cannot build a template: the platform is stopping.");
    }
    if (spec.network !== undefined) SandboxNetwork.check(spec.network, "/spec/network");
    const wanted = this.#message(spec);
    if ((await countTemplates(sql)) >= templatesMax) {
      throw new SylaError("snapshots_full", `Cannot build a template: there are ${templatesMax}.`);
    }
    const declared = await declareTemplate(sql, instanceId, wanted);
    if (declared.kind === "same") return declared.template;
    // What was declared under this name before.
    for (const { template } of [...this.#builds.values()]) {
      if (template.name === wanted.name) await this.#cancel(template.id, "It was declared anew.");
    }
    if (declared.replaced !== undefined) await blobs.release(declared.replaced);
    this.#begin(spec, wanted);
    return wanted;
  }

  async get(name: string): Promise<Template> {
    const found = await readTemplate(this.#options.sql, name);
    if (found === undefined) throw templateNotFound(name);
    return found;
  }

  /** A page, the one that was declared last first. */
  list(request: ListTemplatesRequest) {
    const { sql, pageTokens } = this.#options;
    const list = { sql, pageTokens, table: "templates", columns: templateColumns };
    return readPage(request, { ...list, parse: parseTemplate });
  }

  /** Removes one, and ends its build. */
  async remove(name: string): Promise<void> {
    const { sql, blobs } = this.#options;
    const removed = await removeTemplate(sql, name);
    if (removed === undefined) throw templateNotFound(name);
    await this.#cancel(removed.id, "The template was deleted.");
    if (removed.digest !== "") await blobs.release(removed.digest);
  }

  /** What its last build did, in numbered events after one of them, to its end. */
  async *watch(name: string, after: number, context: CallContext): AsyncGenerator<TemplateEvent> {
    const { sql, clock } = this.#options;
    for (;;) {
      const template = await this.get(name);
      const build = this.#builds.get(template.id);
      if (build !== undefined) {
        yield* build.log.watch(after, context);
        return;
      }
      if (template.status !== Status.BUILDING) {
        const events = readEvents(await readTemplateLog(sql, template.id), template);
        yield* events.filter(({ number }) => number > after);
        return;
      }
      // Another platform builds it; what it did is told when it has ended.
      await clock.sleep(lookMs, context.signal);
    }
  }

  /** Marks what dead platforms were building as FAILED. */
  async recover(): Promise<void> {
    const { sql, instanceId, instanceDeadMs } = this.#options;
    for (const template of await takeTemplates(sql, instanceId, instanceDeadMs)) {
      this.#fail(template, "The platform died while it was built. Declare it again.");
      await endTemplate(sql, template, "");
    }
  }

  /** Ends all builds. */
  async close(): Promise<void> {
    this.#stopping = true;
    await Promise.all(
      [...this.#builds.keys()].map((id) => this.#cancel(id, "The platform was stopped.")),
    );
  }

  #message(spec: TemplateSpec): Template {
    const { offer, clock } = this.#options;
    const language = spec.language === "" ? undefined : offered(offer, spec.language, spec.version);
    const { name, directory, limits, metadata } = spec;
    return create(TemplateSchema, {
      ...{ id: uuidv7(), name, status: Status.BUILDING, directory, metadata },
      ...(language === undefined ? {} : { language: language.name, version: language.version }),
      ...(limits === undefined ? {} : { limits }),
      declaration: declarationOf(spec, language?.version ?? ""),
      env: templateEnvironment(spec),
      createdAt: timestampFromMs(clock.now()),
    });
  }

  #begin(spec: TemplateSpec, template: Template): void {
    const log = new TemplateLog(this.#options.clock);
    const build: Build = { template, log, cancelled: undefined, done: Promise.resolve() };
    this.#builds.set(template.id, build);
    build.done = this.#run(spec, build);
  }

  async #run(spec: TemplateSpec, build: Build): Promise<void> {
    const { blobs, trees, log } = this.#options;
    const { template } = build;
    const timeoutMs = spec.timeout === undefined ? timeoutMsDefault : durationMs(spec.timeout);
    const late = `It took longer than ${timeoutMs / 1000} seconds.`;
    const timer = setTimeout(() => void this.#cancel(template.id, late), timeoutMs);
    try {
      await this.#build(spec, build, timeoutMs + marginMs);
      if (build.cancelled === undefined) await trees?.make(template.digest);
      if (build.cancelled === undefined) template.status = Status.READY;
      else this.#fail(template, build.cancelled);
    } catch (error) {
      const { code, message } = toSylaError(error);
      if (code === "internal") log.warn({ error, template: template.name }, "a build failed");
      this.#fail(template, build.cancelled ?? message);
    }
    clearTimeout(timer);
    template.builtAt = timestampFromMs(this.#options.clock.now());
    const { digest } = template;
    const recorded = await this.#record(build);
    if (!recorded && digest !== "") await blobs.release(digest);
    build.log.end(template); // who hears that it is ready can use it
    this.#builds.delete(template.id);
  }

  /** In a sandbox that is gone afterwards, whatever came of it. */
  async #build(spec: TemplateSpec, build: Build, lifetimeMs: number): Promise<void> {
    const { sandboxes, blobs } = this.#options;
    const { template, log } = build;
    const { language, version, env, limits, metadata } = template;
    const made = await sandboxes.make(
      create(SandboxSpecSchema, {
        ...{ language, version, env, lifetime: durationFromMs(lifetimeMs) },
        ...(limits === undefined ? {} : { limits }),
        ...(spec.network === undefined ? {} : { network: spec.network }),
        metadata: { ...metadata, template: template.name },
      }),
    );
    template.buildSandbox = made.id;
    try {
      const sandbox = await sandboxes.find(made.id);
      if (build.cancelled !== undefined) throw new SylaError("template_failed", build.cancelled);
      await buildTemplate(spec, sandbox, log);
      log.step("keep the files");
      await withFiles(sandbox, blobs, async (draft, { entries }) => {
        const { digest, bytes } = await draft.keep();
        Object.assign(template, { digest, sizeBytes: bytes, entries });
      });
    } finally {
      await sandboxes.kill(made.id);
    }
  }

  /** False when it was deleted or declared anew meanwhile, or could not be written. */
  async #record({ template, log: events }: Build): Promise<boolean> {
    const { sql, clock, log } = this.#options;
    for (let writes = 1; ; writes += 1) {
      try {
        return await endTemplate(sql, template, events.toText(template));
      } catch (error) {
        log.warn({ error, template: template.name }, "the end of a build is not recorded");
        if (writes === writesMax || this.#stopping) return false;
        await clock.sleep(writeAgainMs);
      }
    }
  }

  /** Resolves when nothing of the build is left. */
  async #cancel(id: string, why: string): Promise<void> {
    const build = this.#builds.get(id);
    if (build === undefined) return;
    build.cancelled ??= why;
    const { buildSandbox } = build.template;
    if (buildSandbox !== "") await this.#options.sandboxes.kill(buildSandbox);
    await build.done;
  }

  #fail(template: Template, why: string): void {
    Object.assign(template, { status: Status.FAILED, digest: "", sizeBytes: 0, entries: 0 });
    template.errorMessage = why;
    template.builtAt = timestampFromMs(this.#options.clock.now());
  }
}

/** The same for declarations that build the same: labels are no part of it, nor secrets, since it is answered. */
function declarationOf(spec: TemplateSpec, languageVersion: string): string {
  const network = spec.network && { network: publicPolicy(spec.network) };
  const json = toJson(TemplateSpecSchema, { ...spec, ...network, metadata: {} });
  return createHash("sha256").update(canonical(json)).update(`\n${languageVersion}`).digest("hex");
}

function canonical(value: JsonValue): string {
  return JSON.stringify(value, (_key, inside: JsonValue) => {
    if (inside === null || typeof inside !== "object" || Array.isArray(inside)) return inside;
    return Object.fromEntries(Object.entries(inside).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });
}
