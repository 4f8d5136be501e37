// What the way through the gateway costs, beside a web server that does nothing else.
import { fileURLToPath } from "node:url";
import { load } from "../load.ts";
import type { Bench } from "../measure.ts";
import { atLeast, below, comparison, type Row } from "../row.ts";
import { startServer } from "../server.ts";
import { digits, median, quantile } from "../stats.ts";

const fastifyScript = fileURLToPath(new URL("../bare-fastify.ts", import.meta.url));
const options = { connections: 64, durationMs: 2000 };

export async function measureRest(bench: Bench): Promise<readonly Row[]> {
  const platform = await bench.platform();
  const url = `${platform.url}/api/v1/languages`;
  const answer = await (await fetch(url)).text();
  const fastify = await startServer(fastifyScript, [answer]);
  const samples: number[] = [];
  const syla: number[] = [];
  const p99: number[] = [];
  for (let round = 0; round < bench.rounds; round += 1) {
    samples.push((await load({ url: fastify.url, ...options })).requestsPerSecond);
    const own = await load({ url, ...options });
    syla.push(own.requestsPerSecond);
    p99.push(quantile(own.latencies, 0.99));
  }
  await fastify.stop();
  const late = median(p99);
  return [
    comparison({
      what: `REST call that does nothing, ${options.connections} connections`,
      ...{ unit: "a second", syla, peer: "bare Fastify, same JSON", samples },
      goal: (ratio) => atLeast(ratio, 0.5, "×"),
    }),
    { what: "The same, p99", syla: `${digits(late)} ms`, goal: below(late, 10, "ms") },
  ];
}
