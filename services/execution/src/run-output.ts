// What a run writes, on its way from the sandbox into the event log: two streams, masked where that was asked for, in
// the order in which they were written, in chunks.
import type { Artifact, OutputChunk } from "@syla/contract/syla/execution/v1/execution";
import { type Mask, MaskedStream, maskFile } from "./mask.ts";
import { OutputChunker } from "./output.ts";

/** One of a program's output streams. */
export type Stream = "stdout" | "stderr";

export interface RunOutputOptions {
  /** Takes each chunk, in order. */
  readonly emit: (stream: Stream, chunk: OutputChunk) => void;
  readonly lingerMs: number;
  readonly chunkBytesMax: number;
  /** What to mask, if anything. */
  readonly mask?: Mask | undefined;
}

interface Lane {
  readonly chunker: OutputChunker;
  readonly masked: MaskedStream | undefined;
}

/** The output of one run. */
export class RunOutput {
  readonly #mask: Mask | undefined;
  readonly #lanes: Readonly<Record<Stream, Lane>>;

  constructor({ emit, lingerMs, chunkBytesMax, mask }: RunOutputOptions) {
    const lane = (stream: Stream): Lane => ({
      chunker: new OutputChunker({
        emit: (chunk) => emit(stream, chunk),
        lingerMs,
        chunkBytesMax,
      }),
      masked: mask === undefined ? undefined : new MaskedStream(mask),
    });
    this.#mask = mask;
    this.#lanes = { stdout: lane("stdout"), stderr: lane("stderr") };
  }

  /** Takes what the program wrote to a stream. */
  write(stream: Stream, bytes: Uint8Array): void {
    const { masked } = this.#lanes[stream];
    this.#chunk(stream, masked === undefined ? bytes : masked.write(bytes));
  }

  /** Emits everything but what may be the beginning of a secret. */
  flush(): void {
    this.#lanes.stdout.chunker.flush();
    this.#lanes.stderr.chunker.flush();
  }

  /** A file that the run left. */
  artifact(artifact: Artifact): Artifact {
    if (this.#mask === undefined) return artifact;
    const { contentBase64, truncated } = artifact;
    return { ...artifact, contentBase64: maskFile(this.#mask, contentBase64, truncated) };
  }

  /** The run is over: emits the rest. `cut` says that the program did not come to its own end. */
  end({ cut }: { readonly cut: boolean }): void {
    for (const stream of ["stdout", "stderr"] as const) {
      const { masked, chunker } = this.#lanes[stream];
      if (masked !== undefined) this.#chunk(stream, masked.end({ cut }));
      chunker.end();
    }
  }

  #chunk(stream: Stream, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    // What waits of the other stream was written before, and stays before.
    this.#lanes[stream === "stdout" ? "stderr" : "stdout"].chunker.giveWay();
    this.#lanes[stream].chunker.write(bytes);
  }
}
