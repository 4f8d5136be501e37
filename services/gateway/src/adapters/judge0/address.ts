// Which addresses a request may be sent to that somebody outside asked for. What is not plainly of the internet is not:
// private networks, this host, link-local addresses with the metadata services of clouds, and every range that IANA
// keeps for something special (https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6-).
import { BlockList, isIP } from "node:net";
import { networkInterfaces } from "node:os";

/** Where requests may go. `private` is the internet, private networks and this host, but nothing else. */
export type Reach = "public" | "private";

const special4: readonly (readonly [network: string, bits: number])[] = [
  ["0.0.0.0", 8],
  ["100.64.0.0", 10],
  ["168.63.129.16", 32], // Azure tells a machine about itself there
  ["169.254.0.0", 16],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
];

const private4: readonly (readonly [network: string, bits: number])[] = [
  ["10.0.0.0", 8],
  ["127.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
];

/** Within the internet's own 2000::/3: protocols, tunnels that hold IPv4 addresses, documentation. */
const special6: readonly (readonly [network: string, bits: number])[] = [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
];

/** Metadata services of EC2 and Google; the rest of fd00::/8 is private networks. */
const metadata6: readonly string[] = ["fd00:ec2::", "fd20:ce::"];

const private6: readonly (readonly [network: string, bits: number])[] = [
  ["::1", 128],
  ["fc00::", 7],
];

const specialAddresses = new BlockList();
const privateAddresses = new BlockList();
const internet6 = new BlockList();
for (const [network, bits] of special4) specialAddresses.addSubnet(network, bits, "ipv4");
for (const [network, bits] of special6) specialAddresses.addSubnet(network, bits, "ipv6");
for (const network of metadata6) specialAddresses.addSubnet(network, 32, "ipv6");
for (const [network, bits] of private4) privateAddresses.addSubnet(network, bits, "ipv4");
for (const [network, bits] of private6) privateAddresses.addSubnet(network, bits, "ipv6");
internet6.addSubnet("2000::", 3, "ipv6");

/** Whether a request may be sent to an address; this host's own are no part of the internet. */
export function isReachable(address: string, reach: Reach, own = ownAddresses()): boolean {
  const version = isIP(address);
  // A zone names an interface of this host.
  if (version === 0 || address.includes("%")) return false;
  const family = version === 4 ? "ipv4" : "ipv6";
  if (specialAddresses.check(address, family)) return false;
  if (own.check(address, family) || privateAddresses.check(address, family))
    return reach === "private";
  return version === 4 || internet6.check(address, "ipv6");
}

function ownAddresses(): BlockList {
  const own = new BlockList();
  for (const { address, family } of Object.values(networkInterfaces()).flatMap(
    (all) => all ?? [],
  )) {
    own.addAddress(address.replace(/%.*$/, ""), family === "IPv6" ? "ipv6" : "ipv4");
  }
  return own;
}
