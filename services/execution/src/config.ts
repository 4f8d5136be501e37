// Every setting of the execution service, with its default, its unit and its reason.
export interface ExecutionConfig {
  readonly slots: number;
  readonly waitingMax: number;
  readonly wallTimeMs: number;
  readonly cpuTimeMs: number;
  readonly memoryBytes: number;
  readonly pids: number;
  readonly diskBytes: number;
  readonly outputBytes: number;
  readonly artifactBytes: number;
  readonly chunkLingerMs: number;
  readonly chunkBytesMax: number;
  readonly recordAfterMs: number;
  readonly unsavedMax: number;
  readonly instanceRenewMs: number;
  readonly instanceDeadMs: number;
}

export const executionDefaults: ExecutionConfig = {
  slots: 32,
  waitingMax: 10_000,
  wallTimeMs: 10_000,
  cpuTimeMs: 10_000,
  memoryBytes: 256 * 1024 ** 2,
  pids: 64,
  diskBytes: 64 * 1024 ** 2,
  outputBytes: 1024 ** 2,
  artifactBytes: 8 * 1024 ** 2,
  chunkLingerMs: 5,
  chunkBytesMax: 64 * 1024,
  recordAfterMs: 250,
  unsavedMax: 1000,
  instanceRenewMs: 5000,
  instanceDeadMs: 20_000,
};
