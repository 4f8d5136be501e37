/**
 * Renders `docs/internals/seccomp.md` from the table of system calls, so that the page cannot say
 * anything else than what the filter does. A test compares; `UPDATE_DOCS=1` makes it write.
 */

import type { Decision, Syscall, Verdict } from "./decision.ts";

const INTRODUCTION = `# The seccomp filter, call by call

Every jailed program runs under an allow-list of system calls, assembled as BPF by
\`services/sandbox/src/seccomp/seccomp.ts\` from \`services/sandbox/src/seccomp/syscalls.ts\` and put on by
the agent, in two layers (\`layers.ts\`). This page is made from that table, and a test fails when they differ.

- A call of another architecture (32-bit entry) or of x32 kills the process.
- A number that is not in the table answers ENOSYS: what a future kernel adds is closed until it is
  decided here.
- EPERM means "no". ENOSYS and other errors are what a kernel without the feature would answer, for
  calls that libraries try first and then do without.
- Only the low 32 bits of an argument are compared, because the kernel truncates those arguments to
  32 bits itself. Whether a pointer is given is asked of both halves.
- A filter sees numbers, never what pointers point at. Where flags lie in memory (clone3,
  sched_setattr, openat2) the call is closed, or what makes it harmless is told.
- Files below /usr are shared by all jails, read-only. A filter cannot tell them from a program's
  own files, so flock and fcntl locks on them can be seen from one jail in another: a slow covert
  channel between two programs that both want it, and no way to read or change anything.
`;

/** The whole page. */
export function seccompPage(calls: readonly Syscall[]): string {
  const rows = calls
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
    .map(({ name, x64, arm64, decision, why }) =>
      line([`\`${name}\``, number(x64), number(arm64), inWords(decision), why]),
    );
  const head = [line(["call", "x64", "arm64", "decision", "why"]), "|---|---:|---:|---|---|"];
  const counts = `${calls.length} calls: ${tally(calls)}.`;
  return `${INTRODUCTION}\n${counts}\n\n${[...head, ...rows].join("\n")}\n`;
}

function line(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function number(value: number | null): string {
  return value === null ? "" : String(value);
}

function inWords(decision: Decision): string {
  if (decision.kind === "when") return decision.says;
  return verdictInWords(decision);
}

function verdictInWords(verdict: Verdict): string {
  switch (verdict.kind) {
    case "allow":
      return "allowed";
    case "pretend":
      return "succeeds without effect";
    case "errno":
      return verdict.errno;
  }
}

function tally(calls: readonly Syscall[]): string {
  const count = (kind: Decision["kind"]) =>
    calls.filter((call) => call.decision.kind === kind).length;
  return (
    `${count("allow")} allowed, ${count("when")} decided by their arguments, ` +
    `${count("errno")} refused, ${count("pretend")} without effect`
  );
}
