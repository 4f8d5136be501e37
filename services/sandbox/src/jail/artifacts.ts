/** The files that a COLLECT brings out, put together from the agent's frames and checked. */
import type { AgentFrame, WantedArtifact } from "./frames.ts";

export type Artifact =
  | {
      readonly path: string;
      readonly content: Buffer;
      /** What it had when it was opened; more than came when truncated. */
      readonly sizeBytes: number;
      readonly truncated: boolean;
    }
  | { readonly path: string; readonly error: string };

export class Collection {
  readonly #wanted: readonly WantedArtifact[];
  readonly #resolve: (artifacts: Artifact[]) => void;
  readonly #found: Artifact[] = [];
  /** One buffer, which grows: a list of pieces takes many times their bytes when each is one byte. */
  #content = Buffer.alloc(0);
  #bytes = 0;
  #sizeBytes = 0;

  constructor(wanted: readonly WantedArtifact[], resolve: (artifacts: Artifact[]) => void) {
    this.#wanted = wanted;
    this.#resolve = resolve;
  }

  /** "wrong": the frame is not one that was due, and the jail is not to be believed any more. */
  take(frame: AgentFrame): "more" | "done" | "wrong" {
    if (!("index" in frame)) return "wrong";
    const wanted = this.#wanted[frame.index];
    if (!wanted || frame.index !== this.#found.length) return "wrong";
    if (frame.type === "artifactBegin") {
      this.#sizeBytes = frame.bytes;
      return "more";
    }
    if (frame.type === "artifactData") {
      return this.#bytes + frame.data.length > wanted.bytesMax ? "wrong" : this.#add(frame.data);
    }
    const { path } = wanted;
    if (frame.type === "artifactError") this.#found.push({ path, error: frame.reason });
    else {
      const content = Buffer.from(this.#content.subarray(0, this.#bytes));
      const sizeBytes = Math.max(this.#sizeBytes, content.length);
      this.#found.push({ path, content, sizeBytes, truncated: frame.truncated });
    }
    this.#content = Buffer.alloc(0);
    this.#bytes = 0;
    if (this.#found.length < this.#wanted.length) return "more";
    this.#resolve(this.#found);
    return "done";
  }

  #add(data: Buffer): "more" {
    const bytes = this.#bytes + data.length;
    if (bytes > this.#content.length) {
      const grown = Buffer.allocUnsafe(Math.max(bytes, this.#content.length * 2));
      this.#content.copy(grown, 0, 0, this.#bytes);
      this.#content = grown;
    }
    data.copy(this.#content, this.#bytes);
    this.#bytes = bytes;
    return "more";
  }

  /** Nothing more will come. */
  abandon(error: string): void {
    this.#resolve(this.#wanted.map(({ path }, index) => this.#found[index] ?? { path, error }));
  }
}
