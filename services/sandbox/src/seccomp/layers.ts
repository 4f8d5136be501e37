/**
 * The filter in two layers, which together decide as the table does (the kernel asks both, and the stricter answer
 * holds). A filter of 700 instructions takes 0.1 ms to be made machine code of, every time that one is installed. So
 * what jails are forked from lives under the first layer, which they inherit; each jail puts on only the second, which
 * closes what putting up its walls took.
 */
import { type Decision, allow, decide, when } from "./decision.ts";
import type { Syscall } from "./decision.ts";

export type Layer = "first" | "second";

/** The argument and its values for which a call is left to the second layer; undefined: whatever its arguments. */
type Question = { readonly arg: number; readonly in: readonly number[] } | undefined;

/** What zygote.c and walls.c do between being forked from and the second layer, and no program may. */
const LEFT_TO_THE_SECOND: Readonly<Record<string, Question>> = {
  capset: undefined,
  clone3: undefined,
  mount: undefined,
  move_mount: undefined,
  setgroups: undefined,
  setresgid: undefined,
  setresuid: undefined,
  unshare: undefined,
  ioctl: { arg: 1, in: [0x8914] }, // SIOCSIFFLAGS: the loopback is raised
  prctl: { arg: 0, in: [8, 22, 24, 47] }, // PR_SET_KEEPCAPS, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_CAP_AMBIENT
};

/** What a layer says of a call. */
export function inLayer({ name, decision }: Syscall, layer: Layer | "both"): Decision {
  if (layer === "both") return decision;
  if (!(name in LEFT_TO_THE_SECOND)) return layer === "first" ? decision : allow;
  const question = LEFT_TO_THE_SECOND[name];
  if (question === undefined) return layer === "first" ? allow : decision;
  if (layer === "second") {
    const rules = question.in.map((value) => {
      const args = Array.from({ length: question.arg + 1 }, () => BigInt(value));
      return { if: [{ arg: question.arg, in: [value] }], then: decide(decision, args) };
    });
    return when(`${name} as the walls need it`, rules, allow);
  }
  const rules = decision.kind === "when" ? decision.rules : [];
  const otherwise = decision.kind === "when" ? decision.otherwise : decision;
  return when(
    `${name}, and as the walls need it`,
    [{ if: [question], then: allow }, ...rules],
    otherwise,
  );
}
