// The network of one sandbox, or of one run: its policy, the proxy that holds it, and what the processes inside are
// told of both.
import { clone, create } from "@bufbuild/protobuf";
import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";
import {
  type NetworkEvent,
  type NetworkPolicy,
  NetworkPolicy_Mode as Mode,
  NetworkPolicySchema,
} from "@syla/contract/syla/sandbox/v1/network";
import type { Clock } from "@syla/kit/clock";
import { SylaError } from "@syla/kit/error";
import type { Log } from "@syla/kit/log";
import { invalidRequest } from "@syla/kit/validate";
import { FileError } from "../files/box-records.ts";
import { CertificateAuthority } from "./certificate.ts";
import { type Channels, RefusedError } from "../jail/channels.ts";
import type { DialOptions } from "./dial.ts";
import { type NetworkCounters, NetworkEvents } from "./events.ts";
import { mergeSecrets, Policy, policyViolations, publicPolicy } from "./policy.ts";
import { NetworkProxy, type ProxyLimits } from "./proxy.ts";

/** What the networks of all sandboxes are made of. */
export interface NetworkParts {
  readonly dialing: DialOptions;
  readonly limits: ProxyLimits;
  readonly counters: NetworkCounters;
  readonly log: Log;
  /** Further authorities that hosts may have their certificates of. */
  readonly authorities?: readonly string[];
}

export interface SandboxNetworkOptions extends NetworkParts {
  /** Its id, or that of the execution. */
  readonly sandbox: string;
  readonly channels: Pick<Channels, "listen">;
  /** Where the authorities are written that are trusted anyway, and its own. */
  readonly authoritiesPath?: string;
  readonly clock: Clock;
}

/** Above the ports that the kernel gives out by itself; the next ones when a process has taken it. */
const firstPort = 61_080;
const portsTried = 8;
/** The authorities that are trusted anyway, and the sandbox's own. */
const authoritiesPathDefault = "/tmp/.syla-authorities.pem";
/** On the host; a jail has a copy of the file. */
const hostAuthorities = "/etc/ssl/certs/ca-certificates.crt";
/** By which programs find them: those of OpenSSL, curl, Python, Node, git, AWS, Rust, Deno. */
const authorityVariables = [
  ...["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS"],
  ...["GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "DENO_CERT"],
  "npm_config_cafile",
];
const local = "localhost,127.0.0.1,::1,sandbox";

/** Writes the authorities, which are one file. */
export type WriteAuthorities = (file: {
  readonly path: string;
  readonly content: Uint8Array;
  readonly mode: number;
}) => Promise<unknown>;

export class SandboxNetwork {
  readonly #options: SandboxNetworkOptions;
  readonly #events: NetworkEvents;
  readonly #proxy: NetworkProxy;
  #message = create(NetworkPolicySchema, { mode: Mode.NONE });
  #policy = new Policy(this.#message);
  #port: number | undefined;
  #authority: CertificateAuthority | undefined;
  /** Programs in the sandbox are told to trust it. */
  #isTold = false;
  /** Changes come one after the other. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(options: SandboxNetworkOptions) {
    const { sandbox, clock, log, counters } = options;
    this.#options = options;
    this.#events = new NetworkEvents({ sandbox, clock, log, counters });
    this.#proxy = new NetworkProxy({
      ...options,
      policy: () => this.#policy,
      authority: () => this.#authority,
      events: this.#events,
    });
  }

  /** The policy that holds, without its secrets. */
  get message(): NetworkPolicy {
    return publicPolicy(this.#message);
  }

  /** The same with its secrets, for a sandbox that is to have it too. */
  get policy(): NetworkPolicy {
    return clone(NetworkPolicySchema, this.#message);
  }

  /** Variables of processes that start now. */
  get environment(): Readonly<Record<string, string>> {
    if (this.#policy.mode === Mode.NONE || this.#port === undefined) return {};
    const proxy = `http://127.0.0.1:${this.#port}`;
    const names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    const authorities = this.#policy.injects ? authorityVariables : [];
    const same = (all: readonly string[], value: string) =>
      Object.fromEntries(all.map((name) => [name, value]));
    return {
      ...same([...names, ...names.map((name) => name.toLowerCase())], proxy),
      ...same(["NO_PROXY", "no_proxy"], local),
      NODE_USE_ENV_PROXY: "1",
      ...same(authorities, this.#authoritiesPath),
    };
  }

  get #authoritiesPath(): string {
    return this.#options.authoritiesPath ?? authoritiesPathDefault;
  }

  /** Bytes to and from the network until now. */
  get bytes(): { readonly sent: number; readonly received: number } {
    return this.#proxy.links.bytes;
  }

  /** Throws `invalid_request` when a policy cannot be used; `pointer` is where it stands in the request. */
  static check(policy: NetworkPolicy, pointer: string): void {
    const violations = policyViolations(policy, pointer);
    if (violations.length > 0) throw invalidRequest(violations);
  }

  /**
   * Makes a policy hold; what is open and not allowed by it is ended when this resolves. Throws
   * `file_conflict` when it holds and programs in the sandbox cannot be told to trust its authority.
   */
  async change(
    given: NetworkPolicy | undefined,
    write: WriteAuthorities,
    pointer: string,
  ): Promise<void> {
    const changed = this.#changing.then(() => this.#make(given, pointer));
    this.#changing = changed.catch(() => {});
    await changed;
    if (this.#policy.injects) await this.#tellAuthority(write);
  }

  // It holds before a process of the tenant's is asked to write a file: that could be kept from doing so.
  async #make(next: NetworkPolicy | undefined, pointer: string): Promise<void> {
    const wanted = mergeSecrets(next ?? create(NetworkPolicySchema), this.#message);
    if (wanted.mode === Mode.MODE_UNSPECIFIED) wanted.mode = Mode.NONE;
    SandboxNetwork.check(wanted, pointer);
    const policy = new Policy(wanted);
    const { clock, sandbox } = this.#options;
    if (policy.mode !== Mode.NONE) this.#port ??= await this.#listen();
    if (policy.injects) {
      this.#authority ??= new CertificateAuthority(`Syla sandbox ${sandbox}`, clock.now());
    }
    this.#message = wanted;
    this.#policy = policy;
    this.#proxy.links.recheck();
  }

  /** What happened after a number, and how often in all. */
  events(after: number): { events: NetworkEvent[]; connected: number; refused: number } {
    return { events: this.#events.list(after), ...this.#events.counts };
  }

  close(): void {
    this.#proxy.close();
  }

  async #listen(): Promise<number> {
    const { channels } = this.#options;
    for (let port = firstPort; port < firstPort + portsTried; port += 1) {
      try {
        await channels.listen(port, (channel) => this.#proxy.accept(channel)).begun;
        return port;
      } catch (error) {
        if (!(error instanceof RefusedError)) throw error;
      }
    }
    throw new SylaError(
      "network_ports_taken",
      `Cannot open the network of sandbox ${this.#options.sandbox}: processes in it have taken the proxy's ports.`,
    );
  }

  async #tellAuthority(write: WriteAuthorities): Promise<void> {
    const authority = this.#authority;
    if (authority === undefined || this.#isTold) return;
    const known = await readFile(hostAuthorities, "utf8").catch(() => rootCertificates.join("\n"));
    const content = Buffer.from(`${known.trimEnd()}\n${authority.certificate}`);
    const path = this.#authoritiesPath;
    try {
      await write({ path, content, mode: 0o644 });
      this.#isTold = true;
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      const { sandbox } = this.#options;
      const why = `${path} in sandbox ${sandbox} cannot be written (errno ${error.errno})`;
      const message = `The policy holds, but its programs do not trust the hosts that headers are put in for: ${why}.`;
      throw new SylaError("file_conflict", message, { cause: error });
    }
  }
}
