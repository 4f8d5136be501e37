// Ports of sandboxes, before everything else that the gateway serves: what is for one never reaches a route of ours,
// so that a page of a sandbox has nothing of the gateway on its own origin.
import { type IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TunnelService } from "@syla/contract/syla/sandbox/v1/tunnel";
import { createClient } from "@syla/kit/client";
import type { Dispatcher } from "@syla/kit/dispatch";
import { SylaError, toSylaError } from "@syla/kit/error";
import type { LocalKey } from "@syla/kit/local-key";
import type { AnswerRules } from "../answer.ts";
import { openContext } from "../context.ts";
import { foreignHost } from "../own-host.ts";
import { type AdmissionDeps, admit, onOrigin } from "./admission.ts";
import { forward, forwardUpgrade, type Visit } from "./forward.ts";
import { refuse } from "./refusal.ts";
import { type Target, targetOf } from "./target.ts";
import { openTunnel } from "./tunnel.ts";

export interface PortOptions {
  readonly dispatcher: Dispatcher;
  readonly key: LocalKey | undefined;
  /** Below which each port has an origin of its own. */
  readonly domain: string;
  /** Whether the gateway answers to a `Host` header. */
  readonly isOwnHost: (header: string | undefined) => boolean;
  /** How long a connection may carry nothing, in milliseconds. */
  readonly idleMs: number;
  readonly headBytesMax: number;
  readonly answers: AnswerRules;
  readonly log: { error(facts: object, message: string): void };
}

interface Upgrade {
  readonly socket: Duplex;
  readonly head: Buffer;
}

export class PortFront {
  readonly #options: PortOptions;
  readonly #admission: AdmissionDeps;
  /** Sockets whose requests may take as long as their bytes come. */
  readonly #patient = new WeakSet<Duplex>();
  readonly #endless = new Set<Duplex>();

  constructor(options: PortOptions) {
    this.#options = options;
    const { dispatcher, key } = options;
    this.#admission = { tunnels: createClient(TunnelService, dispatcher), key };
  }

  /** Takes a request that is for a port; answers whether it was. */
  take(request: IncomingMessage, response: ServerResponse): boolean {
    return this.#take(request, () => response, undefined);
  }

  /** The same of a handshake. */
  takeUpgrade(request: IncomingMessage, upgrade: Upgrade): boolean {
    const open = () => {
      const response = new ServerResponse(request);
      response.shouldKeepAlive = false;
      if (upgrade.socket instanceof Socket) response.assignSocket(upgrade.socket);
      response.on("finish", () => upgrade.socket.end());
      return response;
    };
    return this.#take(request, open, upgrade);
  }

  /** Whether a request on this socket is bounded by what it carries, not by the time that it takes. */
  isPatient(socket: Duplex): boolean {
    return this.#patient.has(socket);
  }

  /** The gateway stops: what has no end of its own is ended. */
  leave(): void {
    for (const socket of this.#endless) socket.destroy();
  }

  #take(
    request: IncomingMessage,
    open: () => ServerResponse,
    upgrade: Upgrade | undefined,
  ): boolean {
    const found = this.#find(request);
    if (found === undefined) return false;
    void this.#serve(request, open(), { found, upgrade });
    return true;
  }

  #find(request: IncomingMessage): Target | SylaError | undefined {
    const { domain, isOwnHost } = this.#options;
    const { host } = request.headers;
    try {
      const target = targetOf(request, domain);
      // Whoever has a name that points here would have every port that is public.
      const foreign = target !== undefined && target.way !== "host" && !isOwnHost(host);
      return foreign ? foreignHost(host) : target;
    } catch (thrown) {
      return toSylaError(thrown);
    }
  }

  // Never rejects: nobody waits for it.
  async #serve(
    request: IncomingMessage,
    response: ServerResponse,
    { found, upgrade }: { found: Target | SylaError; upgrade: Upgrade | undefined },
  ): Promise<void> {
    const { answers, log } = this.#options;
    const context = openContext(request, response, "port");
    const visitor = { request, response, context };
    const target = found instanceof SylaError ? undefined : found;
    try {
      if (found instanceof SylaError) throw found;
      const visit = await this.#admit(visitor, found);
      if (visit === undefined) return;
      this.#patient.add(request.socket);
      try {
        await (upgrade === undefined ? forward(visit) : forwardUpgrade(visit, upgrade));
      } finally {
        this.#patient.delete(request.socket);
      }
    } catch (thrown) {
      const error = toSylaError(thrown);
      if (error.code === "internal" && context.aborted === undefined) {
        log.error({ error: thrown, surface: "port" }, "a port could not be served");
      }
      refuse(visitor, error, target, answers);
    }
  }

  /** Undefined when the answer is given already. */
  async #admit(
    { request, response, context }: Pick<Visit, "request" | "response"> & OpenContext,
    asked: Target,
  ): Promise<Visit | undefined> {
    const { dispatcher, headBytesMax, idleMs, answers } = this.#options;
    if (answers.draining) throw new SylaError("shutting_down", "The platform is stopping.");
    refuseServiceWorker(request, asked);
    const { target, redirect } = await admit(this.#admission, request, asked, context);
    if (redirect !== undefined || target.bare) {
      const location = redirect?.location ?? target.prefix + onOrigin(target.path);
      const cookies = redirect === undefined ? [] : ["Set-Cookie", redirect.cookie];
      const never = ["Cache-Control", "no-store", "Referrer-Policy", "no-referrer"];
      never.push("Content-Length", "0");
      const status = redirect === undefined ? 308 : 303;
      response.writeHead(status, ["Location", location, ...cookies, ...never]).end();
      return undefined;
    }
    const tunnel = await openTunnel({ dispatcher, target, parent: context, idleMs });
    return { request, response, target, tunnel, headBytesMax, endless: this.#endless };
  }
}

interface OpenContext {
  readonly context: ReturnType<typeof openContext>;
}

/** On the gateway's own origin its script would answer for the gateway's pages from then on. */
function refuseServiceWorker({ headers }: IncomingMessage, { way, port }: Target): void {
  const asks =
    headers["service-worker"] !== undefined || headers["sec-fetch-dest"] === "serviceworker";
  if (!asks || way === "host") return;
  const message = `Cannot give a service worker to port ${port} here: open it by a name of its own.`;
  throw new SylaError("origin_not_allowed", message);
}
