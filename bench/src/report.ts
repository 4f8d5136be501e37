// The text of bench/RESULTS.md: when, on what, beside whom, and the rows.
import { execFileSync } from "node:child_process";
import { cpus, release } from "node:os";
import { packageVersion, pythonVersion } from "./measure.ts";
import type { Peer } from "./peers.ts";
import { type Row, table } from "./row.ts";

function machine(): string {
  const commit = execFileSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" });
  const [cpu] = cpus();
  const date = new Date().toISOString().slice(0, 10);
  const processors = `${cpus().length} × ${cpu?.model ?? "unknown CPU"}`;
  const versions = `Linux ${release()}, Node.js ${process.version}, Python ${pythonVersion()}`;
  return `${date}, commit ${commit.trim()}, ${processors}, ${versions}.`;
}

function peersText(peers: readonly Peer[]): string {
  const numpy = packageVersion("numpy");
  const installed = peers.flatMap((peer) =>
    peer.kind === "installed" ? [`${peer.name} ${peer.version}`] : [],
  );
  const missing = peers.flatMap((peer) =>
    peer.kind === "missing" ? [`${peer.name} (${peer.get})`] : [],
  );
  if (numpy === undefined) missing.push("numpy (apt-get install python3-numpy)");
  else installed.push(`numpy ${numpy}`);
  const absent = missing.length > 0 ? ` Not installed here: ${missing.join("; ")}.` : "";
  return `Beside it: ${installed.join("; ")}.${absent}`;
}

/** All of it. */
export function report(rows: readonly Row[], peers: readonly Peer[]): string {
  return [
    "# Results",
    "",
    "Written by `npm run bench`. Medians of one run; peers are measured turn by turn in the same run.",
    "[README.md](README.md) tells how.",
    "",
    machine(),
    "",
    peersText(peers),
    "",
    table(rows),
    "",
  ].join("\n");
}
