// Whether this process lives and whether it can serve, for people (`/health`, `/ready`) and for balancers (the gRPC
// health protocol, https://github.com/grpc/grpc/blob/master/doc/health-checking.md). It lives as long as it answers;
// it is ready while it has not begun to end and every dependency that was registered answers its check.
//
// Checks run at most once a second however often readiness is asked, so that asking is no way to load a dependency.
import { create, type DescService } from "@bufbuild/protobuf";
import {
  Health,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthCheckResponseSchema,
  HealthListResponseSchema,
} from "@syla/contract/grpc/health/v1/health";
import type { CallContext } from "./call.ts";
import { type Clock, systemClock } from "./clock.ts";
import { type Implementation, implement } from "./dispatch.ts";
import { SylaError, toSylaError } from "./error.ts";

/** What a check found. */
export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  /** Why not: a code of the catalogue; undefined when it is well. Causes are not told to strangers. */
  readonly code: string | undefined;
  readonly durationMs: number;
}

/** Whether a process takes calls, and why not. */
export interface Readiness {
  readonly ready: boolean;
  /** "starting" and "draining" are not ready, whatever the checks say. */
  readonly state: "starting" | "serving" | "draining";
  readonly checks: readonly CheckResult[];
}

/** The health of a process. */
export interface HealthRegistry {
  /** Adds a dependency; its check throws when it is not well. */
  register(name: string, check: (signal: AbortSignal) => Promise<void>): void;
  /** Says in which part of its life the process is; it begins with "starting". */
  setState(state: Readiness["state"]): void;
  /** Always alive: the answer is that there is one. */
  live(): { readonly alive: true; readonly uptimeSeconds: number };
  /** Runs the checks, or answers what they found within the last second. */
  ready(): Promise<Readiness>;
  /** The gRPC service. */
  readonly implementation: Implementation;
}

export interface HealthOptions {
  /** The services that Check and Watch know by name; all have the readiness of the process. */
  readonly services: readonly DescService[];
  readonly clock?: Clock;
}

const freshMs = 1000;
const checkMsMax = 2000;
const watchMs = 1000;

/** Makes the health of a process. */
export function createHealth(options: HealthOptions): HealthRegistry {
  const { clock = systemClock } = options;
  const checks = new Map<string, (signal: AbortSignal) => Promise<void>>();
  const startMs = clock.now();
  let state: Readiness["state"] = "starting";
  let latest: { readonly atMs: number; readonly results: Promise<CheckResult[]> } | undefined;

  const runChecks = (): Promise<CheckResult[]> =>
    Promise.all([...checks].map(([name, check]) => runCheck(name, check, clock)));

  const ready = async (): Promise<Readiness> => {
    if (latest === undefined || clock.now() - latest.atMs >= freshMs) {
      latest = { atMs: clock.now(), results: runChecks() };
    }
    const results = await latest.results;
    return { state, ready: state === "serving" && results.every(({ ok }) => ok), checks: results };
  };

  return {
    register: (name, check) => {
      checks.set(name, check);
      latest = undefined;
    },
    setState: (next) => {
      state = next;
    },
    live: () => ({ alive: true, uptimeSeconds: (clock.now() - startMs) / 1000 }),
    ready,
    implementation: implementHealth(
      new Set(options.services.map(({ typeName }) => typeName)),
      ready,
      clock,
    ),
  };
}

async function runCheck(
  name: string,
  check: (signal: AbortSignal) => Promise<void>,
  clock: Clock,
): Promise<CheckResult> {
  const startMs = clock.now();
  const patience = new AbortController();
  const slow = new SylaError("deadline_exceeded", `${name} did not answer in ${checkMsMax} ms.`);
  const timeout = clock.sleep(checkMsMax, patience.signal).then(
    () => Promise.reject(slow),
    () => undefined,
  );
  const result = (code: string | undefined): CheckResult => {
    return { name, ok: code === undefined, code, durationMs: clock.now() - startMs };
  };
  const over = new AbortController();
  try {
    await Promise.race([check(over.signal), timeout]);
    return result(undefined);
  } catch (thrown) {
    return result(toSylaError(thrown).code);
  } finally {
    patience.abort();
    over.abort();
  }
}

function implementHealth(
  names: ReadonlySet<string>,
  ready: () => Promise<Readiness>,
  clock: Clock,
): Implementation {
  const now = async (): Promise<HealthCheckResponse["status"]> =>
    (await ready()).ready ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  const knows = (service: string): boolean => service === "" || names.has(service);
  const answer = (status: HealthCheckResponse["status"]): HealthCheckResponse =>
    create(HealthCheckResponseSchema, { status });
  return implement(Health, {
    check: async ({ service }) => {
      if (knows(service)) return answer(await now());
      throw new SylaError(
        "service_not_found",
        `Cannot tell the health of ${service}: it is not here.`,
      );
    },
    list: async () => {
      const status = await now();
      const entries = ["", ...names].map((name) => [name, answer(status)] as const);
      return create(HealthListResponseSchema, { statuses: Object.fromEntries(entries) });
    },
    watch: async function* ({ service }, context: CallContext) {
      let last: HealthCheckResponse["status"] | undefined;
      for (;;) {
        const status = knows(service) ? await now() : ServingStatus.SERVICE_UNKNOWN;
        if (status !== last) yield answer(status);
        last = status;
        await clock.sleep(watchMs, context.signal);
      }
    },
  });
}
