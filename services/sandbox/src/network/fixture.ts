/** What the tests of networks share: a jail whose network leads to servers of the test's own, under made-up names. */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type NetworkEvent, NetworkPolicySchema } from "@syla/contract/syla/sandbox/v1/network";
import { systemClock } from "@syla/kit/clock";
import { createLog } from "@syla/kit/log";
import { createMetrics } from "@syla/kit/metrics";
import { Box } from "../files/box.ts";
import { CertificateAuthority } from "./certificate.ts";
import { type ChannelListener, type Channels, windowed } from "../jail/channels.ts";
import type { JailFixture } from "../jail/fixture.ts";
import { DEFAULT_ENVIRONMENT } from "../jail/step.ts";
import { NetworkGuard } from "./guard.ts";
import { networkCounters } from "./events.ts";
import { type NetworkParts, SandboxNetwork } from "./sandbox-network.ts";

export type PolicyInit = MessageInitShape<typeof NetworkPolicySchema>;

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A sandbox's network and processes in it. */
export interface Networked {
  readonly network: SandboxNetwork;
  readonly channels: Channels;
  readonly log: string[];
  change(policy: PolicyInit): Promise<void>;
  /** Runs a shell's words, or a program, with the variables that the network asks for. */
  run(command: string | readonly string[], env?: Readonly<Record<string, string>>): Promise<Ran>;
  python(code: string): Promise<Ran>;
  refusals(): NetworkEvent[];
}

export interface NetworkedOptions {
  /** What names lead to; asked anew each time. */
  readonly names?: Readonly<Record<string, () => readonly string[] | Promise<readonly string[]>>>;
  readonly loopback?: boolean;
  readonly connectionsMax?: number;
  readonly idleMs?: number;
  readonly allowPrivate?: readonly string[];
}

/** The authority of the hosts of tests. */
const hostAuthority = new CertificateAuthority("hosts of tests", Date.now());

/** Opens a jail with a network for as long as something is tried in it. */
export async function networked(
  fixture: JailFixture,
  policy: PolicyInit,
  use: (networked: Networked) => Promise<void>,
  options: NetworkedOptions = {},
): Promise<void> {
  const jail = fixture.open({ cgroup: { memoryBytes: 512 * 2 ** 20, pids: 256 } });
  const log: string[] = [];
  try {
    await jail.ready;
    const channels = jail.keep();
    const network = new SandboxNetwork({
      ...parts(options, log),
      ...{ channels, clock: systemClock, sandbox: "01890a5d-ac96-774b-bcce-b302099a8057" },
    });
    const start = (argv: readonly string[], input: boolean, env: object, l: ChannelListener) =>
      channels.start(
        {
          ...{ argv, env: { ...DEFAULT_ENVIRONMENT, ...env }, directory: "/work", input },
          ...{ fileBytes: 0, addressBytes: 0, cpuSeconds: 0, openFiles: 1024, processes: 0 },
          ...{ terminal: undefined, words: false, fork: false },
        },
        l,
      );
    const box = new Box((argv, { input }, listener) => start(argv, input, {}, listener));
    const change = (next: PolicyInit) =>
      network.change(create(NetworkPolicySchema, next), (file) => box.write([file]), "/network");
    await change(policy);
    const run: Networked["run"] = async (command, env = {}) => {
      const said = { stdout: "", stderr: "", words: "" };
      const exit = Promise.withResolvers<number>();
      const argv = typeof command === "string" ? ["/bin/sh", "-c", command] : command;
      const channel = start(
        argv,
        false,
        { ...network.environment, ...env },
        {
          output: (output, data) => {
            said[output] += data.toString("utf8");
            used[output](data.length);
          },
          exited: ({ code }) => exit.resolve(code),
        },
      );
      const used = {
        stdout: windowed(channel, "stdout", 65_536),
        stderr: windowed(channel, "stderr", 65_536),
        words: () => {},
      };
      await channel.begun;
      return { code: await exit.promise, stdout: said.stdout, stderr: said.stderr };
    };
    await use({
      ...{ network, channels, log, change, run },
      python: (code) => run(["/usr/bin/python3", "-c", code]),
      refusals: () => network.events(0).events.filter(({ reason }) => reason !== ""),
    });
    network.close();
  } finally {
    await jail.close();
  }
}

function parts(options: NetworkedOptions, log: string[]): NetworkParts {
  const { names = {}, loopback = true, connectionsMax = 100, idleMs = 60_000 } = options;
  let all = 0;
  return {
    dialing: {
      resolve: async (name) => names[name]?.() ?? [],
      guard: new NetworkGuard({
        deny: [],
        allowPrivate: options.allowPrivate ?? [],
        loopbackForTests: loopback,
      }),
      connectMs: 5000,
      idleMs,
    },
    limits: {
      connectionsMax,
      take: () => {
        all += 1;
        return () => void (all -= 1);
      },
    },
    counters: networkCounters(createMetrics({ processMetrics: false })),
    log: createLog({ name: "test", write: (line) => void log.push(line) }),
    authorities: [hostAuthority.certificate],
  };
}

/** A server of a test, on the loopback of this machine. */
export interface Host {
  readonly port: number;
  /** What was asked of it. */
  readonly requests: IncomingMessage[];
  readonly sockets: Set<Socket>;
  close(): Promise<void>;
}

/** Answers `hello PATH`; at `/headers` what it was sent, at `/slow` nothing but a beginning. */
export function openHttpHost(tlsName?: string): Promise<Host> {
  const requests: IncomingMessage[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    requests.push(request);
    let body = "";
    request.on("data", (part: Buffer) => (body += part.toString("latin1")));
    request.on("end", () => {
      if (request.url === "/slow") return void response.write("begun\n");
      const told = request.url === "/headers" ? JSON.stringify(request.headers) : request.url;
      response.end(`hello ${told} ${body.length}\n`);
    });
  };
  if (tlsName === undefined) return openHost(createHttpServer(listener), requests);
  const SNICallback = (
    name: string,
    done: (error: null, context: ReturnType<CertificateAuthority["contextOf"]>) => void,
  ) => done(null, hostAuthority.contextOf(tlsName === "*" ? name : tlsName));
  return openHost(createHttpsServer({ SNICallback }, listener), requests);
}

/** Serves connections as the callback does. */
export function openTcpHost(onSocket: (socket: Socket) => void): Promise<Host> {
  return openHost(createTcpServer(onSocket), []);
}

async function openHost(server: Server, requests: IncomingMessage[]): Promise<Host> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const port = parsePort(server.address());
  return {
    ...{ port, requests, sockets },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}

function parsePort(address: AddressInfo | string | null): number {
  return (address as AddressInfo).port;
}
