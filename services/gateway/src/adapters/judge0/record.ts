// What Judge0 answers of a submission and an execution does not know, kept in the execution's metadata, so that a token
// is answered after a restart. The output that was expected is kept as a digest of what is compared; the texts
// themselves only while they fit into a label, since nothing is decided by them.
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import type { Bounds, Submission } from "./submission.ts";

/** The texts that are answered as they were given, or null when they were too long to be kept. */
const texts = ["source_code", "stdin", "expected_output"] as const;

/** A text of a submission. */
export type KeptText = (typeof texts)[number];

/** What is remembered of a submission. */
export interface Submitted extends Bounds {
  readonly language_id: number;
  readonly redirect_stderr_to_stdout: boolean;
  /** Of the output that was expected, if any. */
  readonly expected_digest: string | undefined;
  readonly command_line_arguments: string | undefined;
  readonly callback_url: string | undefined;
  readonly texts: ReadonlyMap<KeptText, string>;
  /** The executions before this one, where a program is run several times. */
  readonly earlier: readonly string[];
}

type Metadata = Readonly<Record<string, string>>;

/** The label of every submission. */
const label = "judge0";

const valueCharsMax = 1024;

/** What is compared of an output: without white space at the end of a line or of all. */
export function outputDigest(output: Uint8Array): string {
  const stripped = Buffer.from(output).toString("latin1").split("\n").map(stripEnd).join("\n");
  return createHash("sha256").update(stripEnd(stripped), "latin1").digest("hex");
}

// Not by a pattern: on a long run of blanks that are not at the end, one takes the square of their number.
function stripEnd(line: string): string {
  let end = line.length;
  while (end > 0 && "\t\n\v\f\r \0".includes(line.charAt(end - 1))) end -= 1;
  return line.slice(0, end);
}

/** The metadata of a submission's execution. */
export function toMetadata(submission: Submission, earlier: readonly string[]): Metadata {
  const { bounds, expectedOutput, redirect, argumentLine, callbackUrl } = submission;
  const facts = {
    ...{ language_id: submission.language.id, ...bounds, redirect_stderr_to_stdout: redirect },
    ...(expectedOutput === undefined ? {} : { expected_digest: outputDigest(expectedOutput) }),
  };
  const { sourceCode, stdin } = submission;
  const kept: readonly [name: string, value: string | undefined][] = [
    ["command_line_arguments", argumentLine === "" ? undefined : argumentLine],
    ["callback_url", callbackUrl],
    ["source_code", asLabel(sourceCode)],
    ["stdin", asLabel(stdin)],
    ["expected_output", asLabel(expectedOutput)],
    ["earlier", earlier.length === 0 ? undefined : earlier.join(",")],
  ];
  const labels = kept.flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[`${label}.${name}`, value]],
  );
  return { [label]: JSON.stringify(facts), ...Object.fromEntries(labels) };
}

function asLabel(bytes: Buffer | undefined): string | undefined {
  if (bytes === undefined || !isUtf8(bytes) || bytes.includes(0)) return undefined;
  const value = bytes.toString("utf8");
  return value.length <= valueCharsMax ? value : undefined;
}

/** What is remembered; undefined when an execution is no submission. */
export function fromMetadata(metadata: Metadata): Submitted | undefined {
  const facts = parseFacts(metadata[label]);
  if (facts === undefined) return undefined;
  const kept = texts.flatMap((name): [KeptText, string][] => {
    const value = metadata[`${label}.${name}`];
    return value === undefined ? [] : [[name, value]];
  });
  return {
    ...facts,
    command_line_arguments: metadata[`${label}.command_line_arguments`],
    callback_url: metadata[`${label}.callback_url`],
    texts: new Map(kept),
    earlier: metadata[`${label}.earlier`]?.split(",") ?? [],
  };
}

type Facts = Omit<Submitted, "command_line_arguments" | "callback_url" | "texts" | "earlier">;

// Written above; who labels an execution so by another way is answered from what they wrote, or not at all.
function parseFacts(text: string | undefined): Facts | undefined {
  if (text === undefined) return undefined;
  try {
    const facts = JSON.parse(text) as Partial<Facts> | null;
    const isOurs = typeof facts?.language_id === "number" && typeof facts.memory_limit === "number";
    return isOurs ? (facts as Facts) : undefined;
  } catch {
    return undefined;
  }
}
