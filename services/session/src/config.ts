// Every setting of the session service, with its default, its unit and its reason.
import { type ConfigOf, defineSettings } from "@syla/kit/config";

export const sessionSettings = defineSettings({
  sessionsMax: {
    key: "session.sessions_max",
    type: "int",
    min: 0,
    max: 4000,
    default: 200,
    description:
      "How many sessions may be there at one time; one more is refused with `sessions_full`.",
  },
  idleMs: {
    key: "session.idle_timeout",
    type: "duration",
    min: 1000,
    max: 86_400_000,
    default: 1_800_000,
    description: "After how long without a cell a session ends, unless it is asked for otherwise.",
  },
  startMs: {
    key: "session.start_timeout",
    type: "duration",
    min: 1000,
    max: 600_000,
    default: 30_000,
    description: "How long an interpreter may take until it can run a cell.",
  },
  graceMs: {
    key: "session.interrupt_grace",
    type: "duration",
    min: 100,
    max: 600_000,
    default: 4000,
    description:
      "How long an interpreter may take to heed an interrupt; one that does not is started anew, and its variables are lost.",
  },
  waitingMax: {
    key: "session.cells_waiting",
    type: "int",
    min: 1,
    max: 10_000,
    default: 100,
    description: "How many cells of a session may wait; one more is refused with `cells_full`.",
  },
  logBytes: {
    key: "session.log",
    type: "bytes",
    min: 65_536,
    default: 4 * 1024 ** 2,
    description:
      "How much of what last happened in a session is held for those who come back to it. Who follows along misses nothing, whatever this is.",
  },
  resultsBytes: {
    key: "session.cell_results",
    type: "bytes",
    min: 65_536,
    default: 16 * 1024 ** 2,
    description:
      "How much of what a cell showed is kept for the answer that has all of it; its events have everything.",
  },
  keptBytes: {
    key: "session.cells_kept",
    type: "bytes",
    min: 65_536,
    default: 16 * 1024 ** 2,
    description:
      "How much the cells of a session that have ended may hold together, a hundred cells at most; the oldest are forgotten first.",
  },
  wordBytes: {
    key: "session.result",
    type: "bytes",
    min: 65_536,
    max: 256 * 1024 ** 2,
    default: 16 * 1024 ** 2,
    description:
      "How large one result may be as an interpreter sends it; one that sends more is ended.",
  },
});

export type SessionConfig = ConfigOf<typeof sessionSettings>;
