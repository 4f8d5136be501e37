// Which platform a command talks to: the one that SYLA_URL names, else the running one of the data folder, else one
// that is started for this call and ended with it.
import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join, resolve } from "node:path";
import { createSyla, type Syla } from "@syla/sdk";
import { startEmbedded } from "./embedded.ts";
import { platformFailure } from "./failure.ts";

/** A platform for the length of a command. */
export interface Connection {
  readonly syla: Syla;
  /** For what the client does not speak. */
  readonly url: string;
  readonly token: string | undefined;
  /** Aborted, with a failure that says why, when a platform that was started for this call ends early. */
  readonly died: AbortSignal;
  /** Ends the platform if it was started for this call. */
  readonly close: () => Promise<void>;
}

// A platform on this machine answers its health in a few milliseconds, or it is not one.
const healthTimeoutMs = 2_000;

/** The platform that is there; a command that asks about past runs has no use for a fresh one. */
export async function connectRunning(): Promise<Connection> {
  const found = await findRunning();
  if (found !== undefined) return open(found);
  throw platformFailure(
    "No platform is running here: start one with 'syla up', or name one in SYLA_URL.",
  );
}

/** The platform that is there, else one started for this call. */
export async function connect(signal?: AbortSignal): Promise<Connection> {
  const found = await findRunning();
  if (found !== undefined) return open(found);
  const { url, died, stop } = await startEmbedded(signal);
  return { ...open({ url, token: await findToken(dataFolder()) }), died, close: stop };
}

function open({ url, token }: Found): Connection {
  const syla = createSyla({ url, token });
  return { syla, url, token, died: new AbortController().signal, close: async () => {} };
}

interface Found {
  readonly url: string;
  readonly token: string | undefined;
}

async function findRunning(): Promise<Found | undefined> {
  const named = process.env["SYLA_URL"];
  // The data folder's key is for its own platform alone.
  if (named) return { url: named, token: process.env["SYLA_TOKEN"] };
  const url = await findInData(dataFolder());
  return url === undefined ? undefined : { url, token: await findToken(dataFolder()) };
}

/** The key for the platform of a data folder; undefined when its user may not read it. */
export async function findToken(folder: string): Promise<string | undefined> {
  const given = process.env["SYLA_TOKEN"];
  if (given) return given;
  const text = await readFile(join(folder, "api-key"), "utf8").catch(() => "");
  // What is no key is not sent anywhere.
  return /^syla_[0-9a-f]{64}$/.test(text.trim()) ? text.trim() : undefined;
}

function dataFolder(): string {
  return resolve(process.env["SYLA_DATA"] || ".syla");
}

/** The URL of the platform that runs on a data folder, as the platform's own note there has it. */
export async function findInData(folder: string): Promise<string | undefined> {
  const text = await readFile(join(folder, "platform.json"), "utf8").catch(() => undefined);
  const entry = text === undefined ? undefined : parseEntry(text);
  if (entry === undefined || !isAlive(entry.pid) || !isHere(entry.url)) return undefined;
  const signal = AbortSignal.timeout(healthTimeoutMs);
  const answer = await fetch(`${entry.url}/health`, { signal, redirect: "error" }).catch(
    () => undefined,
  );
  return answer?.ok === true ? entry.url : undefined;
}

function parseEntry(text: string): { pid: number; url: string } | undefined {
  try {
    const { pid, url } = JSON.parse(text) as { pid?: unknown; url?: unknown };
    if (typeof pid !== "number" || !Number.isSafeInteger(pid) || pid <= 0) return undefined;
    return typeof url === "string" && URL.canParse(url)
      ? { pid, url: url.replace(/\/+$/, "") }
      : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return thrown instanceof Error && "code" in thrown && thrown.code === "EPERM";
  }
}

// A folder that came with someone's repository could name any server; programs are sent only to this machine's.
function isHere(url: string): boolean {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
  // One that listens on every address notes that.
  if (host === "0.0.0.0" || host === "::") return true;
  if (host === "localhost" || host === "::1" || /^127(\.\d+){3}$/.test(host)) return true;
  const addresses = Object.values(networkInterfaces()).flat();
  return addresses.some((each) => each?.address === host);
}
