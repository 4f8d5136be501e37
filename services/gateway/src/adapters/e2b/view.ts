// Sandboxes as E2B's control plane tells them.
import { availableParallelism } from "node:os";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import {
  type Sandbox,
  type SandboxMetrics,
  Sandbox_Status as Status,
} from "@syla/contract/syla/sandbox/v1/sandbox";

import type { SandboxAccess } from "./access.ts";
import { networkView } from "./network.ts";

/** What a sandbox is made from that begins empty. */
export const TEMPLATE = "base";
/** Of the program that serves a sandbox of E2B; its clients ask of newer ones what this one can. */
const envdVersion = "0.6.4";
const clientID = "syla";
const cpuCount = availableParallelism();
const mebibyte = 1024 ** 2;

function templateOf({ template, snapshot }: Sandbox): string {
  return template || snapshot || TEMPLATE;
}

/** The answer to who made a sandbox or came back to it. */
export function created(sandbox: Sandbox, access: SandboxAccess): object {
  const templateID = templateOf(sandbox);
  return { templateID, sandboxID: sandbox.id, clientID, envdVersion, ...access };
}

/** One of a list. */
export function listed(sandbox: Sandbox): object {
  const { id, status, metadata, limits, createdAt, expiresAt } = sandbox;
  return {
    ...{
      templateID: templateOf(sandbox),
      sandboxID: id,
      clientID,
      envdVersion,
      metadata,
      cpuCount,
    },
    memoryMB: Math.floor(Number(limits?.memoryBytes ?? 0n) / mebibyte),
    diskSizeMB: Math.floor(Number(limits?.diskBytes ?? 0n) / mebibyte),
    startedAt: iso(createdAt),
    endAt: iso(expiresAt),
    state: status === Status.PAUSED ? "paused" : "running",
  };
}

/** One by itself. */
export function detail(sandbox: Sandbox): object {
  const lifecycle = { onTimeout: "kill", autoResume: false };
  return { ...listed(sandbox), ...networkView(sandbox.network), lifecycle };
}

/** What a sandbox used at a moment; files are memory here, and how much of it they are is not told. */
export function metric({ time, cpuMillicores, memoryBytes }: SandboxMetrics, { limits }: Sandbox) {
  const timestamp = iso(time);
  return {
    timestamp,
    timestampUnix: Math.floor(Date.parse(timestamp) / 1000),
    cpuCount,
    cpuUsedPct: cpuMillicores / 10 / cpuCount,
    memUsed: memoryBytes,
    memTotal: Number(limits?.memoryBytes ?? 0n),
    memCache: 0,
    diskUsed: 0,
    diskTotal: Number(limits?.diskBytes ?? 0n),
  };
}

function iso(time: Timestamp | undefined): string {
  return (time === undefined ? new Date(0) : timestampDate(time)).toISOString();
}
