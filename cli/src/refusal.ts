// What the SDK throws, as a failure of the command. Apart from failure.ts, so that help and mistakes on the command
// line do not wait for the SDK to load.
import { SylaError } from "@syla/sdk";
import { Failure, platformFailure, usageFailure } from "./failure.ts";

/** Whatever was thrown, as a failure that can be printed. */
export function toFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  if (thrown instanceof SylaError) return fromPlatform(thrown);
  const message = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  return platformFailure(`internal error: ${message}`);
}

function fromPlatform({ message, status, violations }: SylaError): Failure {
  // Where one field is wrong, the message often says it all.
  const untold = violations.filter(({ detail }) => !message.includes(detail));
  const lines = untold.map(({ pointer, detail }) => `\n  ${pointer || "/"}: ${detail}`);
  const whole = message + lines.join("");
  return status === "invalid_argument" || status === "not_found"
    ? usageFailure(whole)
    : platformFailure(whole);
}
