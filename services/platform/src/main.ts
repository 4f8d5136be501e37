import { openDataDirectory } from "@syla/kit/data-directory";
import { openDatabase } from "@syla/kit/database";
import { mergeDispatchers } from "@syla/kit/dispatch";
import { createLog } from "@syla/kit/log";
import { createMetrics } from "@syla/kit/metrics";
import { systemClock } from "@syla/kit/clock";
import { validation } from "@syla/kit/validate";
import { startExecution, executionDefaults } from "@syla/execution";
import { startSandbox, sandboxDefaults } from "@syla/sandbox";
import { startGateway, gatewayDefaults } from "@syla/gateway";

const log = createLog({ level: (process.env.LOG_LEVEL as any) ?? "info", name: "syla" });
const t0 = performance.now();
const lap = (s: string) => console.error(s, Math.round(performance.now() - t0));
const data = await openDataDirectory(process.env.SYLA_DATA ?? ".syla");
const metrics = createMetrics();
const interceptors = [validation()];
const database = await openDatabase({ dataDirectory: data, log });
lap("database");
const sandbox = await startSandbox({ config: sandboxDefaults, dataDirectory: data.path, interceptors, log });
lap("sandbox");
const execution = await startExecution({ config: executionDefaults, database, sandbox: sandbox.dispatcher, interceptors, key: Buffer.alloc(32), clock: systemClock, log, metrics });
lap("execution");
const gateway = await startGateway({
  dispatcher: mergeDispatchers([execution.dispatcher]), config: { ...gatewayDefaults, restPort: Number(process.env.REST_PORT ?? 8080), grpcPort: Number(process.env.GRPC_PORT ?? 9090) }, log,
  health: { live: () => true, ready: async () => ({ ready: true, checks: {} }) },
  metrics: { text: async () => ({ contentType: metrics.contentType, body: await metrics.text() }) },
} as any);
lap("gateway");
console.log(JSON.stringify({ ready: true, url: gateway.restUrl }));
sandbox.firstRuns.then(() => { lap("firstruns"); for (const l of sandbox.languages()) console.error(l.language.name, l.language.version, l.firstRun); });
process.stdin.resume(); process.stdin.on("end", async () => { await gateway.close(); await execution.drain(AbortSignal.timeout(1)); await sandbox.stop(); await execution.stop(); await database.close(); await data.close(); process.exit(0); });
