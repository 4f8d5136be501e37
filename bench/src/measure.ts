// What every measurement is given. Each is a file in rows/ and a name on the command line.
import { execFileSync } from "node:child_process";
import { type Peer, python } from "./peers.ts";
import type { Platform } from "./platform.ts";
import type { Row } from "./row.ts";

export interface Bench {
  /** How long to measure: 5 for figures that count, 1 for a try. */
  readonly rounds: number;
  readonly peers: readonly Peer[];
  /** One platform for all that need no settings of their own. */
  readonly platform: () => Promise<Platform>;
}

export type Measure = (bench: Bench) => Promise<readonly Row[]>;

/** How many turns give a median. */
export const turnsOf = ({ rounds }: Bench): number => rounds * 20;

/** The interpreter's exact version, by which Syla is asked for the same one. */
export function pythonVersion(): string {
  return execFileSync(python, ["--version"], { encoding: "utf8" }).replace("Python", "").trim();
}

/** The version of an installed package of that interpreter. */
export function packageVersion(name: string): string | undefined {
  try {
    const asked = `import ${name}; print(${name}.__version__)`;
    return execFileSync(python, ["-c", asked], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return undefined;
  }
}
