// IP addresses: what they are (of the public internet, or not), and ranges of them. An address inside another one
// (IPv4 in IPv6, a translator's) counts as what it leads to; forms that lead elsewhere in ways not known here are
// reserved, which no policy reaches.
import { isIPv4, isIPv6 } from "node:net";

/** An address, always in its one spelling. */
export interface Address {
  readonly family: 4 | 6;
  readonly value: bigint;
  readonly text: string;
}

/** Addresses from the first to the last. */
export interface Range {
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
}

/** What an address is of. */
export type AddressKind =
  | "public"
  | "private"
  | "loopback"
  | "link-local"
  | "multicast"
  | "metadata"
  | "reserved";

/** Reads an address, an IPv4 one strictly as four decimal numbers; one that is IPv4 in IPv6 becomes IPv4. */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return ipv4(valueOf4(text));
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const value = valueOf6(text);
  return value >> 32n === 0xffffn ? ipv4(value & 0xffff_ffffn) : ipv6(value);
}

/** Reads a range, `192.0.2.0/24`, or an address as the range of it alone; bits after the prefix are taken as zero. */
export function parseRange(text: string): Range | undefined {
  const [base = "", bits, more] = text.split("/");
  const address = parseAddress(base);
  if (address === undefined || more !== undefined) return undefined;
  const { family, value } = address;
  const width = family === 4 ? 32 : 128;
  if (bits === undefined) return { family, first: value, last: value };
  // Of IPv4 in IPv6 it is not clear what the bits count.
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > width || (family === 4 && base.includes(":"))) {
    return undefined;
  }
  const free = BigInt(width - Number(bits));
  const first = (value >> free) << free;
  return { family, first, last: first + (1n << free) - 1n };
}

/** Whether an address is in a range, or leads to one that is. */
export function isIn(address: Address, range: Range): boolean {
  const { family, value } = address;
  if (family === range.family) return value >= range.first && value <= range.last;
  const inside = behindTranslator(address);
  return inside !== undefined && isIn(inside, range);
}

/** The IPv4 address that a translator makes of an address (RFC 6052). */
export function behindTranslator({ family, value }: Address): Address | undefined {
  const isTranslated = family === 6 && value >= translated.first && value <= translated.last;
  return isTranslated ? ipv4(value & 0xffff_ffffn) : undefined;
}

/** What an address is of, by the registries of special addresses (IANA; RFC 6890 and its updates). */
export function kindOf(address: Address): AddressKind {
  const found = table.find(([range]) => isIn(address, range));
  if (found !== undefined) return found[1];
  if (address.family === 4) return "public";
  const inside = behindTranslator(address);
  if (inside !== undefined) return kindOf(inside);
  return isIn(address, globalUnicast) ? "public" : "reserved";
}

const rows: readonly (readonly [string, AddressKind])[] = [
  // Where clouds tell a machine about itself; the first that fits counts.
  ["169.254.169.254", "metadata"],
  ["169.254.170.2", "metadata"],
  ["169.254.170.23", "metadata"],
  ["168.63.129.16", "metadata"],
  ["100.100.100.200", "metadata"],
  ["192.0.0.192", "metadata"],
  ["fd00:ec2::/32", "metadata"],
  ["fd20:ce::/32", "metadata"],
  ["0.0.0.0/8", "reserved"],
  ["10.0.0.0/8", "private"],
  ["100.64.0.0/10", "private"],
  ["127.0.0.0/8", "loopback"],
  ["169.254.0.0/16", "link-local"],
  ["172.16.0.0/12", "private"],
  ["192.0.0.0/24", "reserved"],
  ["192.0.2.0/24", "reserved"],
  ["192.31.196.0/24", "reserved"],
  ["192.52.193.0/24", "reserved"],
  ["192.88.99.0/24", "reserved"],
  ["192.168.0.0/16", "private"],
  ["192.175.48.0/24", "reserved"],
  ["198.18.0.0/15", "reserved"],
  ["198.51.100.0/24", "reserved"],
  ["203.0.113.0/24", "reserved"],
  ["224.0.0.0/4", "multicast"],
  ["240.0.0.0/4", "reserved"],
  ["::1", "loopback"],
  ["2001::/23", "reserved"],
  ["2001:db8::/32", "reserved"],
  ["2002::/16", "reserved"],
  ["2620:4f:8000::/48", "reserved"],
  ["3fff::/20", "reserved"],
  ["fc00::/7", "private"],
  ["fe80::/10", "link-local"],
  ["ff00::/8", "multicast"],
];

const table = rows.map(([text, kind]) => [parseKnown(text), kind] as const);
const translated = parseKnown("64:ff9b::/96");
const globalUnicast = parseKnown("2000::/3");

function parseKnown(text: string): Range {
  const range = parseRange(text);
  if (range === undefined) throw new RangeError(`Cannot read the range ${text}`);
  return range;
}

function ipv4(value: bigint): Address {
  const bytes = [24n, 16n, 8n, 0n].map((shift) => Number((value >> shift) & 0xffn));
  return { family: 4, value, text: bytes.join(".") };
}

function ipv6(value: bigint): Address {
  const groups = Array.from({ length: 8 }, (_, n) => {
    return ((value >> BigInt(112 - n * 16)) & 0xffffn).toString(16);
  });
  return { family: 6, value, text: groups.join(":") };
}

function valueOf4(text: string): bigint {
  return text.split(".").reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}

function valueOf6(text: string): bigint {
  const [left = "", right] = text.split("::");
  const before = groupsOf(left);
  const after = right === undefined ? [] : groupsOf(right);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0n);
  return [...before, ...zeros, ...after].reduce((value, group) => (value << 16n) | group, 0n);
}

function groupsOf(text: string): bigint[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (!group.includes(".")) return [BigInt(`0x${group}`)];
    const value = valueOf4(group);
    return [value >> 16n, value & 0xffffn];
  });
}
