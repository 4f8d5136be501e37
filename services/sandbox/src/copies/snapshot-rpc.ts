// The wire of SnapshotService: one handler per method, in the order of the contract.
import { create } from "@bufbuild/protobuf";
import {
  DeleteSnapshotResponseSchema,
  ListSnapshotsResponseSchema,
  SnapshotService,
} from "@syla/contract/syla/sandbox/v1/snapshot";
import { type Implementation, implement } from "@syla/kit/dispatch";
import type { Snapshots } from "./snapshots.ts";

export function snapshotRpc(snapshots: Snapshots): Implementation {
  return implement(SnapshotService, {
    createSnapshot: ({ sandbox, metadata }) => snapshots.take(sandbox, metadata),
    getSnapshot: ({ id }) => snapshots.get(id),
    listSnapshots: async (request) => {
      const { items, nextPageToken } = await snapshots.list(request);
      return create(ListSnapshotsResponseSchema, { snapshots: items, nextPageToken });
    },
    deleteSnapshot: async ({ id }) => {
      await snapshots.remove(id);
      return create(DeleteSnapshotResponseSchema);
    },
    forkSandbox: (request) => snapshots.fork(request),
  });
}
