// The processes that a program in a sandbox is compiled and run by: those that an execution of it would be.
import { create } from "@bufbuild/protobuf";
import {
  type PlanProgramRequest,
  type PlanProgramResponse,
  PlanProgramResponseSchema,
} from "@syla/contract/syla/sandbox/v1/process";
import type { Sandbox } from "@syla/contract/syla/sandbox/v1/sandbox";
import { invalidRequest } from "@syla/kit/validate";
import type { Language } from "../languages/language.ts";
import type { Offer } from "../languages/offer.ts";
import { offered } from "../languages/offered.ts";

/** Plans a program; throws `unknown_language` or `invalid_request` where the sandbox has not its language. */
export function planProgram(
  offer: Offer,
  sandbox: Sandbox,
  { language: name, version, files, code, args }: PlanProgramRequest,
): PlanProgramResponse {
  const language = languageIn(offer, sandbox, name, version);
  const names = files.length > 0 ? files : [language.fileFor(code)];
  const memoryBytes = Number(sandbox.limits?.memoryBytes);
  const { env } = language;
  const spec = ([command = "", ...rest]: readonly string[]) => ({ command, args: rest, env });
  const compile = language.compile?.(names);
  return create(PlanProgramResponseSchema, {
    file: names[0] ?? "",
    ...(compile === undefined ? {} : { compile: spec(compile) }),
    run: spec(language.run(names, args, { memoryBytes })),
  });
}

function languageIn(offer: Offer, sandbox: Sandbox, name: string, version: string): Language {
  const own = sandbox.language;
  if (name === "" && own === "") {
    const detail = "is required, for the sandbox was made without a language";
    throw invalidRequest([{ pointer: "/language", detail, rule: "required" }]);
  }
  const isOwn = name === "" || own === "";
  const language = offered(offer, name || own, version || (name === "" ? sandbox.version : ""));
  if (isOwn || (language.name === own && language.version === sandbox.version)) return language;
  const detail = `must be ${own} ${sandbox.version}, which is what the sandbox was made with`;
  throw invalidRequest([{ pointer: "/language", detail, rule: "language.other" }]);
}
