// The addresses that no policy reaches: all that are not of the public internet, the host's own, the database's, and
// what the installation adds. An installation may open private ranges, and no other.
import { networkInterfaces } from "node:os";
import { SylaError } from "@syla/kit/error";
import {
  type Address,
  behindTranslator,
  isIn,
  kindOf,
  parseAddress,
  parseRange,
  type Range,
} from "./address.ts";

export interface GuardOptions {
  /** Further ranges that are refused. */
  readonly deny: readonly string[];
  /** Private ranges that are not. */
  readonly allowPrivate: readonly string[];
  /** Addresses of what the platform itself depends on. */
  readonly own?: () => readonly string[];
  /** For tests, whose servers are on this machine; no setting leads here. */
  readonly loopbackForTests?: boolean;
}

const interfacesAgainMs = 10_000;

export class NetworkGuard {
  readonly #deny: readonly Range[];
  readonly #allowPrivate: readonly Range[];
  readonly #own: () => readonly string[];
  readonly #loopback: boolean;
  #interfaces: readonly string[] = [];
  #lookedAt = -Infinity;

  constructor({ deny, allowPrivate, own = () => [], loopbackForTests = false }: GuardOptions) {
    this.#deny = readRanges(deny, "sandbox.network_deny");
    this.#allowPrivate = readRanges(allowPrivate, "sandbox.network_allow_private");
    this.#own = own;
    this.#loopback = loopbackForTests;
  }

  /** Why an address is never connected to; undefined when it may be. */
  refusal(address: Address): string | undefined {
    const kind = kindOf(address);
    if (kind === "loopback" && this.#loopback) return undefined;
    const isOpen = kind === "private" && this.#allowPrivate.some((range) => isIn(address, range));
    if (kind !== "public" && !isOpen) return `${address.text} is a ${kind} address`;
    if (this.#deny.some((range) => isIn(address, range))) {
      return `${address.text} is refused on this platform`;
    }
    const inside = behindTranslator(address) ?? address;
    const isOwn = [...this.#hostAddresses(), ...this.#own()].some((text) => {
      return parseAddress(text)?.text === inside.text;
    });
    return isOwn ? `${address.text} is an address of the platform` : undefined;
  }

  #hostAddresses(): readonly string[] {
    const nowMs = performance.now();
    if (nowMs - this.#lookedAt > interfacesAgainMs) {
      this.#lookedAt = nowMs;
      this.#interfaces = Object.values(networkInterfaces()).flatMap((all) => {
        return (all ?? []).map(({ address }) => address.replace(/%.*$/, ""));
      });
    }
    return this.#interfaces;
  }
}

function readRanges(texts: readonly string[], key: string): Range[] {
  return texts.map((text) => {
    const range = parseRange(text);
    if (range !== undefined) return range;
    throw new SylaError(
      "invalid_configuration",
      `Cannot use ${text} in ${key}: it is neither an address nor a range, such as 10.1.0.0/16.`,
    );
  });
}
