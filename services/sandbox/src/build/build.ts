// The program of a run, built: put there from the cache, or else what the compiler left, which is kept for the next.
import type { BuildCache } from "./cache.ts";
import type { Said } from "./entry.ts";
import { buildKey, type BuildRequest } from "./key.ts";
import type { Jail, StepEnd } from "../jail/jail.ts";
import { PROGRAM } from "../languages/language.ts";

export interface ProgramBuildOptions extends BuildRequest {
  readonly cache: BuildCache;
  readonly jail: Jail;
  /** What a compiler may write to a stream in this run. */
  readonly outputBytes: number;
}

const bytesMax = 16 * 1024 * 1024;
const entriesMax = 4096;
/** Of all that a compiler says, with what each piece takes: less than what makes a jail wait for its reader. */
const saidBytesMax = 256 * 1024;
const pieceBytes = 256;

export class ProgramBuild {
  readonly #options: ProgramBuildOptions;
  readonly #key: string | undefined;
  readonly #said: Said[] = [];
  #saidBytes = 0;
  #repeated: readonly Said[] = [];

  constructor(options: ProgramBuildOptions) {
    this.#options = options;
    this.#key = buildKey(options);
  }

  /** What the compiler of a build that was kept had said: warnings are shown with every run. */
  get repeated(): readonly Said[] {
    return this.#repeated;
  }

  /** Puts a build into the jail that was kept; false when there is none. */
  async place(): Promise<boolean> {
    const { cache, jail, language, outputBytes } = this.#options;
    if (this.#key === undefined) return false;
    const build = await cache.find(this.#key, language.name);
    // Where it said more than this run may, the run ends by that, and by the compiler's own doing.
    if (build === undefined || mostOnAStream(build.said) > outputBytes) return false;
    for (const file of build.files) jail.writeFile(file);
    this.#repeated = build.said;
    return true;
  }

  /** What the compiler writes, as it comes; the bytes are copied. */
  hear(stream: Said["stream"], data: Buffer): void {
    this.#saidBytes += data.length + pieceBytes;
    if (this.#saidBytes <= saidBytesMax) this.#said.push({ stream, data: Buffer.from(data) });
  }

  /** Keeps what the compiler made, which has ended well; resolves when it is out of the jail. */
  async keep({ usage, cgroup }: StepEnd): Promise<void> {
    const limited = cgroup.oomKills > 0 || cgroup.pidsMaxHits > 0;
    const full = usage === undefined || usage.diskFull || usage.inodesFull;
    if (this.#key === undefined || limited || full || this.#saidBytes > saidBytesMax) return;
    const { cache, jail } = this.#options;
    const files = await jail.collectTree({ name: PROGRAM, bytesMax, entriesMax });
    if (files === undefined || files.length === 0) return;
    cache.keep(this.#key, { files, said: joined(this.#said) });
  }
}

/** A compiler writes a line in many pieces, each of which would be an event of every run. */
function joined(said: readonly Said[]): Said[] {
  const runs: { stream: Said["stream"]; pieces: Buffer[] }[] = [];
  for (const { stream, data } of said) {
    const last = runs.at(-1);
    if (last?.stream === stream) last.pieces.push(data);
    else runs.push({ stream, pieces: [data] });
  }
  return runs.map(({ stream, pieces }) => ({ stream, data: Buffer.concat(pieces) }));
}

function mostOnAStream(said: readonly Said[]): number {
  const bytes = { stdout: 0, stderr: 0 };
  for (const { stream, data } of said) bytes[stream] += data.length;
  return Math.max(bytes.stdout, bytes.stderr);
}
