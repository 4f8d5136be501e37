// The wire of RunnerService: one handler per method, in the order of the contract.
import { create } from "@bufbuild/protobuf";
import {
  CheckNetworkResponseSchema,
  HostSchema,
  LanguageSchema,
  ListLanguagesResponseSchema,
  RunnerService,
} from "@syla/contract/syla/sandbox/v1/runner";
import { type Implementation, implement } from "@syla/kit/dispatch";
import { latest } from "@syla/kit/latest";
import { probeHost } from "./host.ts";
import type { SandboxConfig } from "./config.ts";
import type { LanguageReport, Offer } from "./languages/offer.ts";
import { noIsolation, offered } from "./languages/offered.ts";
import { SandboxNetwork } from "./network/sandbox-network.ts";
import type { Runner } from "./run.ts";

export interface RunnerRpcOptions {
  readonly offer: Offer;
  readonly limits: SandboxConfig["limits"];
  readonly dataDirectory: string;
  /** The reason, when this host cannot isolate. */
  readonly runner: Runner | { readonly unavailable: string };
}

export function runnerRpc(options: RunnerRpcOptions): Implementation {
  const { offer, runner, limits, dataDirectory } = options;
  const listed = latest((reports: Offer["reports"]) =>
    create(ListLanguagesResponseSchema, { languages: reports.map(describe) }),
  );
  return implement(RunnerService, {
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
    checkNetwork: async ({ network, pointer }) => {
      if (network !== undefined) SandboxNetwork.check(network, pointer);
      return create(CheckNetworkResponseSchema);
    },
    getHost: async () => {
      const capabilities = await probeHost({ limits, dataDirectory });
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
    program: language.run([language.defaultFile], [])[0] ?? "",
    env: { ...language.env },
    ...(firstRun?.state === "ran" ? { firstRunMs: firstRun.milliseconds } : {}),
  };
}
