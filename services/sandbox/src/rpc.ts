// The wire of syla.sandbox.v1: one handler per method, in the order of the contract.
import { create } from "@bufbuild/protobuf";
import {
  HostSchema,
  ListLanguagesResponseSchema,
  SandboxService,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import { type Implementation, implement } from "@syla/kit/dispatch";
import { SylaError } from "@syla/kit/error";
import type { FirstRuns } from "./first-runs.ts";
import { probeHost } from "./host.ts";
import { findLanguage, type Language } from "./languages.ts";
import type { Runner } from "./run.ts";

export interface SandboxRpcOptions {
  readonly languages: readonly Language[];
  readonly firstRuns: FirstRuns;
  /** Undefined with the reason when this host cannot isolate. */
  readonly runner: Runner | { readonly unavailable: string };
}

export function sandboxRpc(options: SandboxRpcOptions): Implementation {
  const { languages, firstRuns, runner } = options;
  return implement(SandboxService, {
    run: async function* (request, context) {
      if ("unavailable" in runner) throw new SylaError("sandbox_unavailable", runner.unavailable);
      const language = findLanguage(languages, request.language, request.version);
      yield* runner.run(request, language, context);
    },
    listLanguages: async () =>
      create(ListLanguagesResponseSchema, {
        languages: languages.map((language) => {
          const firstRunMs = firstRuns.milliseconds(language);
          return {
            name: language.name,
            version: language.version,
            aliases: [...language.aliases],
            extensions: [...language.extensions],
            compiled: language.compile !== undefined,
            defaultFile: language.defaultFile,
            ...(firstRunMs === undefined ? {} : { firstRunMs }),
          };
        }),
      }),
    getHost: async () => {
      const capabilities = await probeHost();
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
