// Snapshots of sandboxes, and sandboxes forked from others: both are a copy of all files, one of them kept.
import { constants } from "node:os";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Sandbox as SandboxMessage,
  SandboxSpecSchema,
} from "@syla/contract/syla/sandbox/v1/sandbox";
import {
  type ForkSandboxRequest,
  type ForkSandboxResponse,
  ForkSandboxResponseSchema,
  type ListSnapshotsRequest,
  type Loss,
  Loss_Kind as Kind,
  LossSchema,
  type Snapshot,
  SnapshotSchema,
} from "@syla/contract/syla/sandbox/v1/snapshot";
import type { Clock } from "@syla/kit/clock";
import { SylaError } from "@syla/kit/error";
import { uuidv7 } from "@syla/kit/id";
import { readPage } from "@syla/kit/list";
import type { PageTokens } from "@syla/kit/page-token";
import type { Sql } from "@syla/kit/sql";
import type { Draft } from "./blob-draft.ts";
import type { Blobs } from "./blobs.ts";
import { snapshotNotFound } from "./origin.ts";
import type { Sandbox } from "../sandbox.ts";
import type { Sandboxes } from "../sandboxes.ts";
import {
  parseSnapshot,
  readSnapshot,
  removeSnapshot,
  snapshotColumns,
  writeSnapshot,
} from "./snapshot-store.ts";
import { CopyError, type PackReport } from "./tree-copy.ts";

export interface SnapshotsOptions {
  readonly sandboxes: Sandboxes;
  readonly blobs: Blobs;
  readonly sql: Sql;
  readonly pageTokens: PageTokens;
  readonly clock: Clock;
}

export class Snapshots {
  readonly #options: SnapshotsOptions;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  /** Keeps a sandbox's files as they are now. */
  async take(id: string, metadata: Readonly<Record<string, string>>): Promise<Snapshot> {
    const { sandboxes, blobs, sql, clock } = this.#options;
    const sandbox = await sandboxes.find(id);
    return withFiles(sandbox, blobs, async (draft, report) => {
      const { digest, bytes } = await draft.keep();
      const snapshot = create(SnapshotSchema, {
        ...{ id: uuidv7(), sandbox: id, digest, sizeBytes: bytes, metadata },
        entries: report.entries,
        lost: lossesOf(report),
        language: sandbox.message.language,
        version: sandbox.message.version,
        createdAt: timestampFromMs(clock.now()),
      });
      try {
        await writeSnapshot(sql, snapshot);
      } catch (error) {
        await blobs.release(digest);
        throw error;
      }
      return snapshot;
    });
  }

  async get(id: string): Promise<Snapshot> {
    const found = await readSnapshot(this.#options.sql, id);
    if (found === undefined) throw snapshotNotFound(id);
    return found;
  }

  /** A page, newest first. */
  list(request: ListSnapshotsRequest) {
    const { sql, pageTokens } = this.#options;
    const list = { sql, pageTokens, table: "snapshots", columns: snapshotColumns };
    return readPage(request, { ...list, parse: parseSnapshot });
  }

  async remove(id: string): Promise<void> {
    const { sql, blobs } = this.#options;
    const removed = await removeSnapshot(sql, id);
    if (removed === undefined) throw snapshotNotFound(id);
    await blobs.release(removed.digest);
  }

  /** Makes sandboxes that begin with another's files as they are now: all of them, or none. */
  async fork({ id, count, lifetime, metadata }: ForkSandboxRequest): Promise<ForkSandboxResponse> {
    const { sandboxes, blobs } = this.#options;
    const source = await sandboxes.find(id);
    const { language, version, limits, network, template, snapshot } = source.message;
    const spec = create(SandboxSpecSchema, {
      ...{ language, version, secrets: { ...source.env } },
      ...(lifetime === undefined ? {} : { lifetime }),
      ...(limits === undefined ? {} : { limits }),
      ...(network === undefined ? {} : { network: source.network.policy }),
      metadata: { ...source.message.metadata, ...metadata },
    });
    return withFiles(source, blobs, async (draft, report) => {
      const origin = { language, version, env: {}, limits, template, snapshot };
      const made = await Promise.allSettled(
        Array.from({ length: count || 1 }, () => {
          const files = { content: async () => draft.read(), takeTree: () => undefined };
          return sandboxes.make(spec, { ...origin, ...files, directory: source.directory });
        }),
      );
      const forks = made.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
      const failed = made.find(({ status }) => status === "rejected");
      if (failed?.status === "rejected") {
        await Promise.all(forks.map((fork: SandboxMessage) => sandboxes.kill(fork.id)));
        throw failed.reason;
      }
      return create(ForkSandboxResponseSchema, { sandboxes: forks, lost: lossesOf(report) });
    });
  }
}

/** Does something with a copy of a sandbox's files, of which nothing is left afterwards but what was kept. */
export async function withFiles<T>(
  sandbox: Sandbox,
  blobs: Blobs,
  use: (draft: Draft, report: PackReport) => Promise<T>,
): Promise<T> {
  const draft = await blobs.draft();
  try {
    const report = await sandbox.pack((piece) => draft.write(piece));
    return await use(draft, report);
  } catch (error) {
    throw error instanceof CopyError ? refusal(sandbox, error) : error;
  } finally {
    await draft.close();
  }
}

const reasons: ReadonlyMap<number, string> = new Map([
  [constants.errno.ELOOP, "its folders are too deep"],
  [constants.errno.ETIMEDOUT, "the copy does not go on"],
  [constants.errno.EAGAIN, "it has as many processes as it may have"],
  [constants.errno.ENOMEM, "it has no memory left"],
]);

function refusal({ message: { id } }: Sandbox, { errno }: CopyError): SylaError {
  const why = reasons.get(errno) ?? `error ${errno}`;
  return new SylaError("snapshot_failed", `Cannot copy the files of sandbox ${id}: ${why}.`);
}

/** What a copy does not have. */
function lossesOf({ processes, skipped, still }: PackReport): Loss[] {
  const all: (readonly [Kind, number, string])[] = [
    [
      Kind.PROCESSES,
      processes,
      "Processes, their memory, terminals and connections are not copied.",
    ],
    [Kind.SPECIAL_FILES, skipped, "Sockets, pipes and devices are not copied."],
    [
      Kind.ONE_MOMENT,
      still ? 0 : 1,
      "A process did not come to a stand while its files were copied.",
    ],
  ];
  return all
    .filter(([, count]) => count > 0)
    .map(([kind, count, message]) => create(LossSchema, { kind, count, message }));
}
