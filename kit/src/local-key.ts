// The one API key of an installation, for surfaces whose clients bring a key. It is made at the first start and lies in
// the data folder, readable by its owner alone, so whoever may read that folder may use the installation. An auth
// service, with users and permissions, takes the place of this file.
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { chmod, readFile, rename, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { SylaError } from "./error.ts";

/** The key; the text itself is told to nobody. */
export interface LocalKey {
  /** The file that it is in; absolute. */
  readonly path: string;
  /** Whether a text is the key, in the time that any text takes. */
  matches(given: string): boolean;
  /** A secret of its own for a purpose, 64 hexadecimal digits: the same while the key is, and no way back to it. */
  derive(purpose: string): string;
}

const keyFile = "api-key";
const prefix = "syla_";
const keyBytes = 32;
const keyShape = /^syla_[0-9a-f]{64}$/;

/** Where the key of a data folder is, or will be. */
export function localKeyPath(dataDirectory: string): string {
  return join(resolve(dataDirectory), keyFile);
}

/**
 * The key of a data folder that this process holds, made the first time. Throws `invalid_configuration` when the file
 * holds something else.
 */
export async function openLocalKey(dataDirectory: string): Promise<LocalKey> {
  const path = localKeyPath(dataDirectory);
  const key = (await readKey(path)) ?? (await makeKey(path));
  if (!keyShape.test(key)) {
    const message = `Cannot use ${path}: it holds no key. Remove it, and the next start makes a new one.`;
    throw new SylaError("invalid_configuration", message);
  }
  return localKey(path, key);
}

/** A key that is in memory alone, of this text. */
export function localKey(path: string, key: string): LocalKey {
  return {
    path,
    matches: (given) => equalSecrets(given, key),
    derive: (purpose) => createHmac("sha256", key).update(purpose).digest("hex"),
  };
}

/** Whether two texts are the same; how long it takes tells nothing of either. */
export function equalSecrets(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

async function readKey(path: string): Promise<string | undefined> {
  try {
    const text = await readFile(path, "utf8");
    // Whoever restored it from a backup may have opened it to others.
    await chmod(path, 0o600);
    return text.trim();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

// Whole or not at all: a start that is cut short leaves no half of a key.
async function makeKey(path: string): Promise<string> {
  const key = prefix + randomBytes(keyBytes).toString("hex");
  await writeFile(`${path}.new`, `${key}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
  return key;
}
