// Starts Syla as its users do, on a data folder of its own.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { httpRunner, type Runner } from "./runner.ts";
import { type Server, startServer } from "./server.ts";

const main = fileURLToPath(new URL("../../services/platform/src/main.ts", import.meta.url));

export interface Platform extends Server {
  /** The folder that holds its database. */
  readonly data: string;
}

export interface PlatformOptions {
  /** By default a new folder. */
  readonly data?: string;
  /** More settings. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A new data folder. */
export const makeData = (): string => mkdtempSync(join(tmpdir(), "syla-bench-"));

/** Starts a platform on a free port. */
export async function startPlatform(options: PlatformOptions = {}): Promise<Platform> {
  const { data = makeData(), env = {} } = options;
  const base = { SYLA_DATA: data, REST_PORT: "0", GRPC_PORT: "0", LOG_LEVEL: "error" };
  try {
    const server = await startServer(main, ["--embedded"], { ...base, ...env });
    return { ...server, data };
  } catch (error) {
    rmSync(data, { recursive: true, force: true });
    throw error;
  }
}

/** Ends a platform and removes its data folder. */
export async function endPlatform(platform: Platform): Promise<void> {
  await platform.stop();
  rmSync(platform.data, { recursive: true, force: true });
}

export interface Program {
  readonly language: string;
  readonly version?: string;
  readonly code: string;
  readonly stdout: string;
}

export const executePath = "/api/v1/executions:execute";

/** Syla, running a program for each request. */
export function sylaRunner({ url }: Platform, { stdout, ...spec }: Program): Runner {
  const expect = `"stdout":${JSON.stringify(stdout)}`;
  return httpRunner("Syla", { url, path: executePath, body: JSON.stringify(spec), expect });
}

/** The resident memory of a process, in MiB. */
export function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024;
}
