// Which language a spec means. It is asked before anything is queued, so that a wrong one is the caller's error and not
// a failed execution; the sandbox alone knows what there is and how versions are selected.
import type { ExecutionSpec } from "@syla/contract/syla/execution/v1/spec";
import type { RunnerService } from "@syla/contract/syla/sandbox/v1/runner";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";

/**
 * The spec with its language's own name and exact version. Throws `unknown_language`, which names the known ones;
 * `pointer` says where the spec is in the request.
 */
export async function resolveLanguage(
  sandbox: Client<typeof RunnerService>,
  spec: ExecutionSpec,
  context: CallContext,
  pointer = "/spec",
): Promise<ExecutionSpec> {
  try {
    const { language, version } = spec;
    const found = await sandbox.getLanguage({ language, version }, { parent: context });
    return { ...spec, language: found.name, version: found.version };
  } catch (error) {
    if (!(error instanceof SylaError) || error.code !== "unknown_language") throw error;
    const violations = error.violations.map((one) => ({ ...one, pointer: pointer + one.pointer }));
    throw new SylaError("unknown_language", error.message, { violations });
  }
}
