// What Judge0 tells of itself: its version, its configuration, its host, its workers and counts of submissions. What is
// told here is true of this installation; what it has nothing of is off.
import { cpus, totalmem } from "node:os";
import { extractKbMax } from "./archive.ts";
import { timeoutMs, triesMax } from "./callback.ts";
import { rules } from "./submission.ts";

/** The version of Judge0 whose API this is. */
export const apiVersion = "1.13.1";

/** As many submissions as one request may hold, or ask for. */
export const batchMax = 20;

/** `/about`. */
export function about(version: string) {
  return { version: apiVersion, homepage: null, source_code: null, maintainer: `Syla ${version}` };
}

/** `/config_info`. */
export function configInfo(callbacks: boolean) {
  const own = Object.entries(rules).flatMap(([name, { usual, most }]): [string, number][] => [
    [name, usual],
    [`max_${name}`, most],
  ]);
  return {
    maintenance_mode: false,
    enable_wait_result: true,
    enable_compiler_options: false,
    allowed_languages_for_compile_options: [],
    enable_command_line_arguments: true,
    enable_submission_delete: false,
    enable_callbacks: callbacks,
    callbacks_max_tries: triesMax,
    callbacks_timeout: timeoutMs / 1000,
    enable_additional_files: true,
    ...Object.fromEntries(own),
    enable_per_process_and_thread_time_limit: false,
    allow_enable_per_process_and_thread_time_limit: false,
    enable_per_process_and_thread_memory_limit: false,
    allow_enable_per_process_and_thread_memory_limit: false,
    redirect_stderr_to_stdout: false,
    max_extract_size: extractKbMax,
    enable_batched_submissions: true,
    max_submission_batch_size: batchMax,
    submission_cache_duration: 0,
    use_docs_as_homepage: false,
    allow_enable_network: false,
    enable_network: false,
    disable_implicit_base64_encoding: true,
  };
}

/** `/system_info`: as much of what `lscpu` and `free` say there as helps to judge a time. */
export function systemInfo() {
  const all = cpus();
  return {
    Architecture: process.arch,
    "CPU(s)": String(all.length),
    "Model name": all[0]?.model ?? "",
    Mem: `${(totalmem() / 1024 ** 3).toFixed(1)}G`,
  };
}

/** `/workers`, of how many executions wait and run. Whether one is idle is whether none waits. */
export function workers(waiting: number, running: number) {
  const idle = waiting === 0 ? 1 : 0;
  const queue = { queue: apiVersion, size: waiting };
  return [{ ...queue, available: running + idle, idle, working: running, paused: 0, failed: 0 }];
}

/** A submission, as it is counted. */
export interface Counted {
  readonly languageId: number;
  /** When it was accepted, in milliseconds. */
  readonly createdMs: number;
}

/** How long `/statistics` are kept. */
export const statisticsMs = 600_000;

const dayMs = 86_400_000;

/** `/statistics`. A verdict is made when it is asked for and not kept, so verdicts are not counted. */
export function statistics(
  counted: readonly Counted[],
  nowMs: number,
  names: ReadonlyMap<number, string>,
) {
  const byLanguage = countBy(counted, ({ languageId }) => languageId);
  const byDay = countBy(counted, ({ createdMs }) => dayOf(createdMs));
  const days = Array.from({ length: 30 }, (_, index) => dayOf(nowMs - (index + 1) * dayMs));
  return {
    created_at: new Date(nowMs).toISOString(),
    cached_until: new Date(nowMs + statisticsMs).toISOString(),
    submissions: {
      total: counted.length,
      today: byDay.get(dayOf(nowMs)) ?? 0,
      last_30_days: Object.fromEntries(days.map((day) => [day, byDay.get(day) ?? 0])),
    },
    languages: [...byLanguage]
      .toSorted(([, one], [, other]) => other - one)
      .map(([id, count]) => ({ language: { id, name: names.get(id) ?? null }, count })),
    statuses: [],
  };
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function countBy<T, Key>(items: readonly T[], keyOf: (item: T) => Key): Map<Key, number> {
  const counts = new Map<Key, number>();
  for (const item of items) counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 1);
  return counts;
}
