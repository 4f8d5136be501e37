// Every setting of the execution service, with its default, its unit and its reason.
import { availableParallelism, totalmem } from "node:os";
import { getHeapStatistics } from "node:v8";
import { type ConfigOf, defineSettings } from "@syla/kit/config";

const memoryBytes = 256 * 1024 ** 2;

// Programs wait as often as they compute, so there are more slots than processors, but never more than their memory
// fits into half of the machine's.
const slots = Math.max(
  2,
  Math.min(16 * availableParallelism(), Math.floor(totalmem() / 2 / memoryBytes)),
);

export const executionSettings = defineSettings({
  slots: {
    key: "execution.slots",
    type: "int",
    min: 1,
    max: 4096,
    default: slots,
    defaultNote: "follows the machine",
    description:
      "How many executions run at one time; others wait. By default 16 a processor, but no more than fit into half of the memory.",
  },
  waitingMax: {
    key: "execution.waiting_max",
    type: "int",
    min: 0,
    max: 1_000_000,
    default: 10_000,
    description: "How many executions may wait for a slot; one more is refused with `queue_full`.",
  },
  waitingBytesMax: {
    key: "execution.waiting_bytes",
    type: "bytes",
    min: 0,
    default: 256 * 1024 ** 2,
    description:
      "How many bytes the executions that wait may hold together, for they wait in memory; what would pass it is refused with `queue_full`.",
  },
  outputHeldBytes: {
    key: "execution.output_held",
    type: "bytes",
    min: 0,
    default: Math.floor(getHeapStatistics().heap_size_limit / 8),
    defaultNote: "follows the machine",
    description:
      "How many bytes of output the executions that run may be allowed together, for it is in memory until it is recorded; others wait. By default an eighth of what Node.js may use.",
  },
  wallTimeMs: {
    key: "execution.wall_time",
    type: "duration",
    min: 1,
    max: 3_600_000,
    default: 10_000,
    description: "How long a program may take by the clock, unless its execution says otherwise.",
  },
  cpuTimeMs: {
    key: "execution.cpu_time",
    type: "duration",
    min: 1,
    max: 3_600_000,
    default: 10_000,
    description:
      "Processor time of all of a program's processes, unless its execution says otherwise.",
  },
  memoryBytes: {
    key: "execution.memory",
    type: "bytes",
    min: 4 * 1024 ** 2,
    default: memoryBytes,
    description: "Memory of a program, its disk included, unless its execution says otherwise.",
  },
  pids: {
    key: "execution.pids",
    type: "int",
    min: 1,
    max: 32_768,
    default: 64,
    description: "Processes and threads of a program, unless its execution says otherwise.",
  },
  memoryBytesMax: {
    key: "execution.memory_max",
    type: "bytes",
    min: 4 * 1024 ** 2,
    default: Math.floor(totalmem() / 4),
    defaultNote: "follows the machine",
    description:
      "The most memory that an execution may ask for, its disk included. By default a quarter of the machine's.",
  },
  pidsMax: {
    key: "execution.pids_max",
    type: "int",
    min: 1,
    max: 32_768,
    default: 1024,
    description:
      "The most processes and threads that an execution may ask for: a host has so many for all of them.",
  },
  diskBytes: {
    key: "execution.disk",
    type: "bytes",
    min: 65_536,
    default: 64 * 1024 ** 2,
    description: "Space for a program's files, unless its execution says otherwise.",
  },
  outputBytes: {
    key: "execution.output",
    type: "bytes",
    min: 1,
    max: 16 * 1024 ** 2,
    default: 1024 ** 2,
    description: "Output on each of the two streams, unless the execution says otherwise.",
  },
  artifactBytes: {
    key: "execution.artifact",
    type: "bytes",
    min: 1,
    max: 64 * 1024 ** 2,
    default: 8 * 1024 ** 2,
    description: "The size of one artifact; a larger one comes cut.",
  },
  chunkLingerMs: {
    key: "execution.chunk_linger",
    type: "duration",
    min: 0,
    max: 1000,
    default: 5,
    description:
      "How long output waits for more to share an event with; the first bytes never wait.",
  },
  chunkBytesMax: {
    key: "execution.chunk",
    type: "bytes",
    min: 1,
    max: 1024 ** 2,
    default: 64 * 1024,
    description: "Output that does not wait any longer.",
  },
  recordAfterMs: {
    key: "execution.record_after",
    type: "duration",
    min: 10,
    max: 60_000,
    default: 250,
    description: "How often the events of a running execution are written to the database.",
  },
  unsavedMax: {
    key: "execution.unsaved_max",
    type: "int",
    min: 1,
    default: 1000,
    description:
      "How many ends of executions may wait for the database before new ones are refused.",
  },
  instanceRenewMs: {
    key: "execution.instance_renew",
    type: "duration",
    min: 100,
    default: 5000,
    description: "How often a platform says in a shared database that it lives.",
  },
  instanceDeadMs: {
    key: "execution.instance_dead",
    type: "duration",
    min: 1000,
    default: 20_000,
    description: "After which silence another platform on a shared database counts as dead.",
  },
});

export type ExecutionConfig = ConfigOf<typeof executionSettings>;
