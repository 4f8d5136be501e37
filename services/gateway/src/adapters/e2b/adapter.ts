// E2B's API (https://e2b.dev), for clients that were written for it: sandboxes, their processes and files. Its control
// plane and what it serves from within each sandbox are told apart by a header. Builds of templates and volumes are not
// here.
import type { FileService } from "@syla/contract/syla/sandbox/v1/file";
import type { NetworkService } from "@syla/contract/syla/sandbox/v1/network";
import type { PortService } from "@syla/contract/syla/sandbox/v1/port";
import type { ProcessService } from "@syla/contract/syla/sandbox/v1/process";
import type { SandboxService } from "@syla/contract/syla/sandbox/v1/sandbox";
import type { SessionService } from "@syla/contract/syla/session/v1/session";
import type { SnapshotService } from "@syla/contract/syla/sandbox/v1/snapshot";
import type { TemplateService } from "@syla/contract/syla/sandbox/v1/template";
import type { Client } from "@syla/kit/client";
import type { LocalKey } from "@syla/kit/local-key";
import type { Adapter } from "../../adapters.ts";
import { sandboxHeader } from "./access.ts";
import { codeAdapter } from "./code.ts";
import { Contexts } from "./contexts.ts";
import { controlAdapter } from "./control.ts";
import { explainCall } from "./errors.ts";
import { filesAdapter, signedFilesAdapter } from "./files.ts";
import { filesystemMethods } from "./filesystem.ts";
import { processMethods } from "./processes.ts";
import { rpcRoutes } from "./rpc.ts";
import { Watchers } from "./watchers.ts";

export interface E2bOptions {
  readonly sandboxes: Client<typeof SandboxService>;
  readonly processes: Client<typeof ProcessService>;
  readonly files: Client<typeof FileService>;
  readonly networks: Client<typeof NetworkService>;
  readonly ports: Client<typeof PortService>;
  /** Below which each port of a sandbox has a name. */
  readonly portsDomain: string;
  readonly sessions: Client<typeof SessionService>;
  readonly snapshots: Client<typeof SnapshotService>;
  readonly templates: Client<typeof TemplateService>;
  /** What clients have to bring. */
  readonly key: LocalKey;
}

/** The adapters that together are E2B's API. */
export function e2bAdapters(options: E2bOptions): readonly Adapter[] {
  const { processes, files, sessions, key } = options;
  const contexts = new Contexts(sessions);
  const watchers = new Watchers();
  const rpc: Adapter = {
    name: "e2b-rpc",
    prefixes: [""],
    header: sandboxHeader,
    routes: [
      ...rpcRoutes("process.Process", processMethods(processes), key),
      ...rpcRoutes("filesystem.Filesystem", filesystemMethods(files, watchers), key),
    ],
    explain: explainCall,
    close: () => watchers.close(),
  };
  return [
    ...[controlAdapter({ ...options, contexts }), rpc, codeAdapter({ ...options, contexts })],
    ...[filesAdapter(options), signedFilesAdapter(options)],
  ];
}
