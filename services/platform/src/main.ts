// Runs Syla: all services in one process until it is told to stop. `--embedded` is for programs that start a platform
// of their own: it says where it serves in one JSON line and ends with its standard input. `doctor --json` probes.
import { readFileSync } from "node:fs";
import { SylaError } from "@syla/kit/error";
import { runService } from "@syla/kit/lifecycle";
import { createLog, type Log } from "@syla/kit/log";
import { renderBanner } from "./banner.ts";
import { type Configuration, readConfiguration } from "./configuration.ts";
import { printDiagnosis } from "./doctor.ts";
import { Platform } from "./platform.ts";

/** How long the banner waits for the languages' first runs. */
const firstRunsMsMax = 3000;

async function main(args: readonly string[]): Promise<void> {
  const configuration = await readConfiguration();
  if (args[0] === "doctor") {
    const { platform: own, sandbox } = configuration;
    return printDiagnosis(own.dataDirectory, sandbox.limits);
  }
  const log = createLog({ level: configuration.platform.logLevel, name: "syla" });
  const embedded = args.includes("--embedded");
  const platform = new Platform({ configuration, version: version(), log });
  const options = { log, drainMsMax: configuration.gateway.drainMs };
  if (embedded) {
    const signal = standardInputEnd();
    try {
      await runService(platform.parts, { ...options, signal, onReady: () => printReady(platform) });
    } finally {
      process.stdin.destroy(); // it would keep this process alive
    }
    return;
  }
  const onReady = () => void welcome(platform, configuration, log);
  await runService(platform.parts, { ...options, onReady });
}

function version(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  const manifest: unknown = JSON.parse(text);
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) {
    return String(manifest.version);
  }
  return "unknown";
}

function standardInputEnd(): AbortSignal {
  const ended = new AbortController();
  process.stdin.resume();
  for (const event of ["end", "close", "error"]) process.stdin.once(event, () => ended.abort());
  return ended.signal;
}

function printReady({ gateway }: Platform): void {
  const { restUrl: url, grpcAddress } = gateway;
  process.stdout.write(`${JSON.stringify({ ready: true, url, grpcAddress })}\n`);
}

async function welcome(platform: Platform, configuration: Configuration, log: Log): Promise<void> {
  const { sandbox, gateway, data, key } = platform;
  if (configuration.sandbox.prepare) {
    const firstRuns = sandbox.runFirst().catch((error: unknown) => {
      log.warn({ error }, "the languages' first runs did not end");
    });
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, firstRunsMsMax)));
    await Promise.race([firstRuns, patience]);
    clearTimeout(timer);
  }
  const { restUrl, grpcAddress } = gateway;
  const banner = {
    version: version(),
    restUrl,
    grpcAddress,
    dataDirectory: data.path,
    keyPath: key.path,
    languages: sandbox.languages(),
    unavailable: sandbox.unavailable,
  };
  process.stdout.write(renderBanner(banner));
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof SylaError) || error.code === "internal") throw error;
  process.stderr.write(`syla: ${error.message}\n`);
  process.exitCode = 1;
}
