// How a submission stands, by the numbers and names that Judge0 gives it (app/enumerations/status.rb).

/** Every status by its number. */
const names = {
  1: "In Queue",
  2: "Processing",
  3: "Accepted",
  4: "Wrong Answer",
  5: "Time Limit Exceeded",
  6: "Compilation Error",
  7: "Runtime Error (SIGSEGV)",
  8: "Runtime Error (SIGXFSZ)",
  9: "Runtime Error (SIGFPE)",
  10: "Runtime Error (SIGABRT)",
  11: "Runtime Error (NZEC)",
  12: "Runtime Error (Other)",
  13: "Internal Error",
  14: "Exec Format Error",
} as const;

export type StatusId = keyof typeof names;

/** A status as it is answered. */
export interface Status {
  readonly id: StatusId;
  readonly description: string;
}

/** A status by its number. */
export function statusOf(id: StatusId): Status {
  return { id, description: names[id] };
}

/** All statuses, in the order of their numbers. */
export function allStatuses(): readonly Status[] {
  const ids = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14] as const;
  return ids.map(statusOf);
}

/** The status of a program that a signal ended. */
export function signalStatus(number: number): StatusId {
  switch (number) {
    case 11:
      return 7;
    case 25:
      return 8;
    case 8:
      return 9;
    case 6:
      return 10;
    default:
      return 12;
  }
}
