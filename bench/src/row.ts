// A row of the results: what was measured, beside whom, and whether it is where it is to be.
import { digits, median } from "./stats.ts";

/** What a figure is to reach, and whether it does. */
export interface Goal {
  readonly text: string;
  readonly met: boolean;
}

export interface Row {
  readonly what: string;
  readonly syla: string;
  readonly peer?: string;
  readonly ratio?: number;
  readonly goal?: Goal | undefined;
}

export const below = (value: number, bound: number, unit: string): Goal => ({
  text: `< ${bound} ${unit}`,
  met: value < bound,
});

export const atLeast = (value: number, bound: number, unit: string): Goal => ({
  text: `≥ ${bound} ${unit}`,
  met: value >= bound,
});

export interface Comparison {
  readonly what: string;
  readonly unit: string;
  readonly syla: readonly number[];
  readonly peer: string;
  readonly samples: readonly number[];
  /** By the ratio of the medians. */
  readonly goal?: ((ratio: number) => Goal) | undefined;
}

/** Medians side by side. */
export function comparison(options: Comparison): Row {
  const { what, unit, syla, peer, samples, goal } = options;
  const own = median(syla);
  const other = median(samples);
  const ratio = own / other;
  return {
    ...{ what, ratio, goal: goal?.(ratio) },
    syla: `${digits(own)} ${unit}`,
    peer: `${peer}: ${digits(other)} ${unit}`,
  };
}

/** The place of a peer that is not there. */
export const missingRow = (what: string, peer: string): Row => ({
  ...{ what, syla: "" },
  peer: `${peer}: not installed here`,
});

/** As a Markdown table. */
export function table(rows: readonly Row[]): string {
  const lines = rows.map(({ what, syla, peer = "", ratio, goal }) => {
    const times = ratio === undefined ? "" : `${digits(ratio)} ×`;
    const reached = goal === undefined ? "" : goal.met ? "yes" : "no";
    return ["", what, syla, peer, times, goal?.text ?? "", reached, ""].join(" | ").trim();
  });
  const head = ["what", "Syla", "peer", "ratio", "to reach", "reached"];
  return [`| ${head.join(" | ")} |`, `|${head.map(() => "---|").join("")}`, ...lines].join("\n");
}
