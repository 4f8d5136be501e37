// Starts Syla as its users do, on a data folder of its own, and asks it to run programs.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Server, startServer } from "./server.ts";

const main = fileURLToPath(new URL("../../services/platform/src/main.ts", import.meta.url));

export interface Platform extends Server {
  /** The folder that holds its database. */
  readonly data: string;
}

/** Starts a platform on a free port with a new data folder, or again on one that is there. */
export async function startPlatform(
  data = mkdtempSync(join(tmpdir(), "syla-bench-")),
): Promise<Platform> {
  const env = { SYLA_DATA: data, REST_PORT: "0", GRPC_PORT: "0", LOG_LEVEL: "error" };
  const server = await startServer(main, ["--embedded"], env);
  return { ...server, data };
}

/** Removes a platform's data folder. */
export function removeData(data: string): void {
  rmSync(data, { recursive: true, force: true });
}

/** The body of a request that runs a program. */
export function executeBody(language: string, code: string, version: string): string {
  return JSON.stringify({ language, version, code });
}

/** From a request to run a program to its whole answer, in milliseconds. */
export async function timeExecution(url: string, body: string): Promise<number> {
  const begin = performance.now();
  const response = await fetch(`${url}/api/v1/executions:execute`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  const answer: unknown = await response.json();
  const ms = performance.now() - begin;
  if (!JSON.stringify(answer).includes('"SUCCEEDED"')) {
    throw new Error(`Cannot measure: ${JSON.stringify(answer)}`);
  }
  return ms;
}

/** The resident memory of a process, in MiB. */
export function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024;
}
