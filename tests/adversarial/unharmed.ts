// One platform for a file of attacks. After each attack the host has to be as it was before all of them, and the next
// run has to work: an attack whose outcome is right and whose traces are not has still won.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before } from "node:test";
import { type Execution, execute, python, type Server, type Spec } from "../api.ts";
import { assertHostUnchanged, type Host, observeHost } from "../host.ts";
import { type Platform, startPlatform } from "../platform.ts";

const prelude = readFileSync(new URL("probe.py", import.meta.url), "utf8");

/** Registers the platform's hooks for a test file; answers how to get at the platform in a test. */
export function unharmedPlatform(): () => Platform {
  let platform: Platform | undefined;
  let host: Host | undefined;
  before(async () => {
    platform = await startPlatform();
    await assertRuns(platform);
    host = await observeHost(platform);
  });
  afterEach(async () => {
    assert.ok(platform !== undefined && host !== undefined);
    await assertRuns(platform);
    await assertHostUnchanged(platform, host);
  });
  after(async () => {
    assert.equal(await platform?.stop(), 0, platform?.log());
  });
  return () => {
    assert.ok(platform !== undefined, "the platform is started before the first test");
    return platform;
  };
}

/** Asserts that an ordinary program runs as ever. */
async function assertRuns(server: Server): Promise<void> {
  const { stdout, status, errorMessage } = await python(server, "print(6 * 7)");
  assert.deepEqual({ status, stdout, errorMessage }, { ...success, stdout: "42\n" });
}

const success = { status: "SUCCEEDED", errorMessage: undefined };

/** Asserts that a run ended for a reason, and answers it. */
export function assertFailed(execution: Execution, errorType: string): Execution {
  const { id, status, errorType: was, stderr } = execution;
  assert.equal(
    was,
    errorType,
    `${id} ${status}: ${execution.errorMessage}\n${stderr.slice(0, 1000)}`,
  );
  assert.equal(status, errorType === "cancelled" ? "CANCELLED" : "FAILED");
  assert.ok(execution.errorMessage, "a failure has a sentence for people");
  return execution;
}

/** Asserts that a run went well, and answers what it wrote. */
export function assertSucceeded(execution: Execution): string {
  const { id, status, errorMessage, stderr } = execution;
  assert.equal(status, "SUCCEEDED", `${id}: ${errorMessage}\n${stderr.slice(0, 2000)}`);
  return execution.stdout;
}

/**
 * Runs a Python program that tries things by probe.py's `attempt` and answers what came of each: the name of the errno
 * with which it was refused, or what it answered.
 */
export async function probe(
  server: Server,
  code: string,
  more: Omit<Spec, "language" | "code" | "files"> = {},
): Promise<Readonly<Record<string, unknown>>> {
  const files = [
    { name: "main.py", content: `from probe import *\n${code}\nreport()\n` },
    { name: "probe.py", content: prelude },
  ];
  const execution = await execute(server, { language: "python", ...more, files });
  return parseOutcomes(JSON.parse(assertSucceeded(execution)));
}

function parseOutcomes(json: unknown): Readonly<Record<string, unknown>> {
  return json as Record<string, unknown>;
}

const refusals = ["EPERM", "EACCES", "ENOSYS", "EROFS", "ENOENT", "ENODEV", "EAFNOSUPPORT"];

/** Asserts that each of these was refused, and by the kernel or the jail, not for a slip in the test. */
export function assertRefused(
  outcomes: Readonly<Record<string, unknown>>,
  names: readonly string[],
  allowed: readonly string[] = refusals,
): void {
  for (const name of names) {
    const outcome = outcomes[name];
    const refused = typeof outcome === "string" && allowed.includes(outcome);
    assert.ok(refused, `${name} was not refused: ${JSON.stringify(outcome)}`);
  }
}
