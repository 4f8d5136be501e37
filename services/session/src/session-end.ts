// Why a session ends, in a word for programs and a sentence for people.
import type { Session } from "@syla/contract/syla/session/v1/session";
import { SylaError } from "@syla/kit/error";

export type EndReason = "deleted" | "idle" | "sandbox" | "interpreter" | "stopped";

/** A sentence on each. */
export const endSentences: Readonly<Record<EndReason, string>> = {
  deleted: "Ended by its owner.",
  idle: "No cell ran in it for too long.",
  sandbox: "Its sandbox ended.",
  interpreter: "Its interpreter would not start again.",
  stopped: "Ended with the platform.",
};

/** The error of a session that is not there any more. */
export function endedError({ id, endReason }: Session): SylaError {
  return new SylaError("session_ended", `Cannot use session ${id}: it has ended (${endReason}).`);
}
