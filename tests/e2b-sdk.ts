// E2B's official SDK, pointed at a platform of the tests.
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Sandbox as CodeSandbox } from "@e2b/code-interpreter";
import { Sandbox } from "e2b";
import type { Platform } from "./platform.ts";

/** The variables that point E2B's SDKs at a platform. */
export function clientVariables({ url, data }: Platform): Readonly<Record<string, string>> {
  const file = join(data, "api-key");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const key = readFileSync(file, "utf8").trim().replace("syla_", "e2b_");
  return { E2B_API_KEY: key, E2B_API_URL: url, E2B_SANDBOX_URL: url };
}

/** Points the SDK at a platform, as its user would. */
export function pointAt(platform: Platform): void {
  Object.assign(process.env, clientVariables(platform));
}

/** A sandbox for one test. */
export async function withSandbox(
  work: (sandbox: Sandbox) => Promise<void>,
  options: { readonly envs?: Record<string, string> } = {},
): Promise<void> {
  const sandbox = await Sandbox.create(options);
  try {
    await work(sandbox);
  } finally {
    await sandbox.kill();
  }
}

/** A sandbox with the code interpreter, for one test. */
export async function withInterpreter(
  work: (sandbox: CodeSandbox) => Promise<void>,
  options: { readonly envs?: Record<string, string> } = {},
): Promise<void> {
  const sandbox = await CodeSandbox.create(options);
  try {
    await work(sandbox);
  } finally {
    await sandbox.kill();
  }
}

/** A sandbox's token, which the SDK keeps to itself. */
export function tokenOf(sandbox: Sandbox): string {
  return String(Reflect.get(sandbox, "envdAccessToken"));
}

/** Its token for all ports, likewise. */
export function trafficTokenOf(sandbox: Sandbox): string {
  return String(Reflect.get(sandbox, "trafficAccessToken"));
}

/** A JSON object that came. */
export function parseObject(value: unknown): Readonly<Record<string, unknown>> {
  return value as Readonly<Record<string, unknown>>;
}
