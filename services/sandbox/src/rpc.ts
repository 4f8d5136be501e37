// The wire of syla.sandbox.v1: one handler per method, in the order of the contract.
import { create } from "@bufbuild/protobuf";
import {
  HostSchema,
  LanguageSchema,
  ListLanguagesResponseSchema,
  SandboxService,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import { type Implementation, implement } from "@syla/kit/dispatch";
import { SylaError } from "@syla/kit/error";
import { latest } from "@syla/kit/latest";
import { probeHost } from "./host.ts";
import { findLanguage, type Language, UnknownLanguageError } from "./languages.ts";
import type { SandboxConfig } from "./config.ts";
import type { LanguageReport, Offer } from "./offer.ts";
import type { Runner } from "./run.ts";

export interface SandboxRpcOptions {
  readonly offer: Offer;
  readonly limits: SandboxConfig["limits"];
  /** The reason, when this host cannot isolate. */
  readonly runner: Runner | { readonly unavailable: string };
}

export function sandboxRpc(options: SandboxRpcOptions): Implementation {
  const { offer, runner, limits } = options;
  const listed = latest((reports: Offer["reports"]) =>
    create(ListLanguagesResponseSchema, { languages: reports.map(describe) }),
  );
  return implement(SandboxService, {
    run: async function* (request, context) {
      if ("unavailable" in runner) throw noIsolation();
      const language = await offer.prepared(offered(offer, request.language, request.version));
      yield* runner.run(request, language, context);
    },
    listLanguages: async () => listed(offer.reports),
    getLanguage: async ({ language, version }) => {
      // Asked before anything is queued, so that it is refused there and not failed later.
      if ("unavailable" in runner) throw noIsolation();
      return create(LanguageSchema, describe({ language: offered(offer, language, version) }));
    },
    getHost: async () => {
      const capabilities = await probeHost({ limits });
      return create(HostSchema, {
        capabilities: capabilities.map(({ name, ok, required, detail, remedy }) => ({
          name,
          ok,
          required,
          detail,
          remedy: remedy ?? "",
        })),
      });
    },
  });
}

// Why is for the log and for the doctor; it names folders of the host.
function noIsolation(): SylaError {
  const remedy = "npx syla doctor says there what is missing and how to get it";
  return new SylaError(
    "sandbox_unavailable",
    `Cannot run code: this host has no working isolation; ${remedy}.`,
  );
}

function describe({
  language,
  firstRun,
}: Pick<LanguageReport, "language"> & Partial<LanguageReport>) {
  return {
    name: language.name,
    version: language.version,
    aliases: [...language.aliases],
    extensions: [...language.extensions],
    compiled: language.compile !== undefined,
    defaultFile: language.defaultFile,
    ...(firstRun?.state === "ran" ? { firstRunMs: firstRun.milliseconds } : {}),
  };
}

function offered(offer: Offer, name: string, version: string): Language {
  try {
    return findLanguage(offer.languages, name, version === "" ? "*" : version);
  } catch (error) {
    if (!(error instanceof UnknownLanguageError)) throw error;
    const { field, known } = error;
    const detail = `is not one of ${known.join(", ")}`;
    throw new SylaError("unknown_language", error.message, {
      violations: [{ pointer: `/${field}`, detail, rule: `language.${field}` }],
    });
  }
}
