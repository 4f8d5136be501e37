// What a program names as the host of a connection: a name in its one spelling, or an address. What different programs
// read differently (`127.1`, `0x7f000001`, a NUL, a user before an `@`) is neither.
import { type Address, parseAddress } from "./address.ts";

/** A host at a port. */
export interface Target {
  /** As it is compared and told: a name in lower case, or an address. */
  readonly host: string;
  readonly port: number;
  /** When the host is one. */
  readonly address: Address | undefined;
}

const nameCharsMax = 253;
const labelShape = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;
/** What URLs take for the end of an IPv4 address, in whatever base it is written. */
const numberShape = /^(?:\d+|0x[0-9a-f]*)$/;

/** Reads a host without a port; an IPv6 address may stand in brackets. */
export function parseHost(text: string): Pick<Target, "host" | "address"> | undefined {
  const bare = /^\[([0-9a-fA-F:.]+)\]$/.exec(text)?.[1] ?? text;
  const address = parseAddress(bare);
  if (address !== undefined) return { host: address.text, address };
  const name = normalName(text);
  return name === undefined ? undefined : { host: name, address: undefined };
}

/** Reads `host:port`, or a host for which a port is understood. */
export function parseTarget(text: string, portDefault?: number): Target | undefined {
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const [, host = "", digits] = match;
  const port = digits === undefined ? portDefault : Number(digits);
  const parsed = parseHost(host);
  if (parsed === undefined || port === undefined || port < 1 || port > 65_535) return undefined;
  return { ...parsed, port };
}

/** A host's name in lower case without the dot at its end, or undefined when it is none. */
export function normalName(text: string): string | undefined {
  const name = text.toLowerCase().replace(/\.$/, "");
  if (name.length > nameCharsMax) return undefined;
  const labels = name.split(".");
  if (!labels.every((label) => labelShape.test(label))) return undefined;
  return numberShape.test(labels.at(-1) ?? "") ? undefined : name;
}

/** Whether names fit what a rule says: the name itself, or with `*.` all below one. */
export function domainMatcher(text: string): ((name: string) => boolean) | undefined {
  const wild = text.startsWith("*.");
  const domain = normalName(wild ? text.slice(2) : text);
  if (domain === undefined) return undefined;
  return wild ? (name) => name.endsWith(`.${domain}`) : (name) => name === domain;
}

/** A target as it is written. */
export function describeTarget({ host, port, address }: Target): string {
  return address?.family === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}
