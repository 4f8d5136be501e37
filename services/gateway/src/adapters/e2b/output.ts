// What processes write, as bytes again.
import type { ProcessOutput } from "@syla/contract/syla/sandbox/v1/process";

/** The bytes of a piece of output. */
export function outputBytes({ data }: ProcessOutput): Buffer {
  return data.case === "text" ? Buffer.from(data.value) : Buffer.from(data.value ?? []);
}
