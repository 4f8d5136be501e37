// A platform whose sandboxes may reach this machine, under the names in TEST_NETWORK_NAMES, which no setting can ask
// for. Otherwise it is the platform as its own main runs it with `--embedded`.
import { runService } from "@syla/kit/lifecycle";
import { createLog } from "@syla/kit/log";
import { readConfiguration } from "../services/platform/src/configuration.ts";
import { Platform } from "../services/platform/src/platform.ts";

const names = (process.env["TEST_NETWORK_NAMES"] ?? "").split(",");
const authorities = [process.env["TEST_NETWORK_AUTHORITY"] ?? ""];

const configuration = await readConfiguration();
const log = createLog({ level: configuration.platform.logLevel, name: "syla" });
const resolve = async (name: string) => (names.includes(name) ? ["127.0.0.1"] : []);
const platform = new Platform({
  ...{ configuration, version: "test", log },
  networkForTests: { resolve, authorities },
});
const ended = new AbortController();
process.stdin.resume().once("close", () => ended.abort());
await runService(platform.parts, {
  log,
  signal: ended.signal,
  onReady: () => {
    const { restUrl: url, grpcAddress } = platform.gateway;
    process.stdout.write(`${JSON.stringify({ ready: true, url, grpcAddress })}\n`);
  },
});
process.stdin.destroy();
