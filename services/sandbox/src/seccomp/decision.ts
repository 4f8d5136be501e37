/**
 * What can be decided about one system call: the words in which the tables are written and from
 * which both the filter and its documentation are made. Nothing here knows BPF.
 */

/** Errors a denied call may report. Linux gives them the same number on x64 and arm64. */
export const ERRNO = {
  EPERM: 1,
  ENOMEM: 12,
  ENODEV: 19,
  EINVAL: 22,
  ENOTTY: 25,
  ENOSYS: 38,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  ESOCKTNOSUPPORT: 94,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
} as const;

export type ErrnoName = keyof typeof ERRNO;

/** What happens to a call. `pretend` answers 0, success, without doing anything. */
export type Verdict = { kind: "allow" } | { kind: "pretend" } | { kind: "errno"; errno: ErrnoName };

/**
 * A question about one argument: is `arg & mask` one of `in`, or has it any of the bits `any`?
 *
 * Only the low 32 bits are looked at, unless the question is about the `high` ones (of a pointer).
 * That is right because every argument in the tables is an `int`, a `umode_t` or a flag word which the
 * kernel itself truncates to 32 bits (or, where it does not, the question is whether a bit that must
 * not be set is set).
 */
export type ArgTest =
  | { arg: number; mask?: number; in: readonly number[] }
  | { arg: number; any: number; high?: true };

/** The first rule whose tests all hold gives the verdict. */
export interface Rule {
  if: readonly ArgTest[];
  then: Verdict;
}

export type Decision =
  | Verdict
  | { kind: "when"; rules: readonly Rule[]; otherwise: Verdict; says: string };

/** A call with its number on each architecture; null where the architecture never had it. */
export interface Syscall {
  name: string;
  x64: number | null;
  arm64: number | null;
  decision: Decision;
  why: string;
}

export const allow: Verdict = { kind: "allow" };
export const pretend: Verdict = { kind: "pretend" };

export function deny(errno: ErrnoName): Verdict {
  return { kind: "errno", errno };
}

/** A conditional decision; `says` is its rules in words, for the documentation. */
export function when(says: string, rules: readonly Rule[], otherwise: Verdict): Decision {
  return { kind: "when", rules, otherwise, says };
}

/** Decides a call the slow and obvious way: what the compiled filter must agree with. */
export function decide(decision: Decision, args: readonly bigint[]): Verdict {
  if (decision.kind !== "when") return decision;
  const rule = decision.rules.find((candidate) => candidate.if.every((test) => holds(test, args)));
  return rule?.then ?? decision.otherwise;
}

function holds(test: ArgTest, args: readonly bigint[]): boolean {
  const whole = args[test.arg] ?? 0n;
  if ("any" in test) return Number((test.high ? whole >> 32n : whole) & BigInt(test.any)) !== 0;
  const value = Number(whole & 0xffff_ffffn);
  const masked = (value & (test.mask ?? 0xffff_ffff)) >>> 0;
  return test.in.some((candidate) => candidate >>> 0 === masked);
}
