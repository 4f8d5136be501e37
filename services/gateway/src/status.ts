// How the platform is, for those who run it: `/health` (is it alive), `/ready` (does it take calls), `/metrics`.
import type { IncomingMessage } from "node:http";
import { keyMissing } from "@syla/kit/local-access";
import type { FastifyInstance } from "fastify";
import { type AnswerRules, sendAnswer } from "./answer.ts";

/** How the platform is. */
export interface Health {
  /** The process works; false asks for its restart. */
  live(): boolean;
  /** Whether calls can be taken, and each part's own word on it. */
  ready(): Promise<{ readonly ready: boolean; readonly checks: Readonly<Record<string, string>> }>;
}

/** The platform's metrics in Prometheus's exposition. */
export interface Metrics {
  text(): Promise<{ readonly contentType: string; readonly body: string }>;
}

/** What the status pages tell of. */
export interface StatusSources {
  readonly health: Health;
  readonly metrics: Metrics;
  /** Whether who sends a request may read the metrics. */
  readonly mayReadMetrics: (request: IncomingMessage) => boolean;
}

const fresh = ["Cache-Control", "no-store"];

/** Registers `/`, `/health`, `/ready` and `/metrics`. */
export function registerStatus(
  fastify: FastifyInstance,
  { health, metrics, mayReadMetrics }: StatusSources,
  answers: AnswerRules,
): void {
  const page = (url: string, answer: (request: IncomingMessage) => Promise<Page>) => {
    fastify.route({
      method: ["GET", "HEAD"],
      url,
      handler: async (request, reply) => {
        const {
          status = 200,
          contentType = "application/json",
          text,
          headers = fresh,
        } = await answer(request.raw);
        reply.hijack();
        sendAnswer(request.raw, reply.raw, { status, contentType, text, headers }, answers);
      },
    });
  };
  page("/", async () => ({ status: 302, text: "", headers: ["Location", "/docs"] }));
  page("/health", async () => {
    const live = health.live();
    return { status: live ? 200 : 503, text: JSON.stringify({ status: live ? "ok" : "failing" }) };
  });
  page("/ready", async () => {
    const { ready, checks } = await health.ready();
    const isReady = ready && !answers.draining;
    const status = answers.draining ? "draining" : isReady ? "ready" : "not ready";
    return { status: isReady ? 200 : 503, text: JSON.stringify({ status, checks }) };
  });
  page("/metrics", async (request) => {
    if (!mayReadMetrics(request)) throw keyMissing();
    const { contentType, body } = await metrics.text();
    return { contentType, text: body };
  });
}

interface Page {
  readonly status?: number;
  readonly contentType?: string;
  readonly text: string;
  readonly headers?: readonly string[];
}
