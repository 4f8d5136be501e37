// At which ports of its loopback something listens in a sandbox: the kernel's table of the jail's network, read by a
// process of the jail's own. A tenant can hinder that, and is then told to have none.
import type { Box } from "../files/box.ts";

/** The table of a jail in which every port listens is about ten times as long as what is read of it. */
const tableBytesMax = 1024 ** 2;
const listenState = "0A";
/** Those that a connection to the loopback finds: 127.0.0.1, any, both as IPv6 writes them, and ::1. */
const reached = new Set([
  "0100007F",
  "00000000",
  "0".repeat(32),
  "0000000000000000FFFF00000100007F",
  "00000000000000000000000001000000",
]);

/** The ports, in order. */
export async function listeningPorts(box: Box): Promise<number[]> {
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => readTable(box, path));
  const ports = (await Promise.all(tables)).flatMap(portsOf);
  return [...new Set(ports)].toSorted((a, b) => a - b);
}

async function readTable(box: Box, path: string): Promise<string> {
  const parts: Buffer[] = [];
  try {
    const { content } = await box.read(path, tableBytesMax);
    for await (const part of content) parts.push(part);
  } catch {
    // A kernel without IPv6 has no such table, and a tenant may have ended the reader.
  }
  return Buffer.concat(parts).toString("latin1");
}

/** The ports of one of the kernel's tables. */
export function portsOf(table: string): number[] {
  return table.split("\n").flatMap((line) => {
    const [, local = "", , state] = line.trim().split(/\s+/);
    const [address = "", port = ""] = local.split(":");
    return state === listenState && reached.has(address) ? [Number.parseInt(port, 16)] : [];
  });
}
