// What clients ask a kernel beside running code, and the answers. A kernel of Jupyter answers when it is done with the
// cell that runs; here who asks about code meanwhile is told that nothing is known.
import type { JsonObject } from "@bufbuild/protobuf";
import { CheckCodeResponse_Verdict as Verdict } from "@syla/contract/syla/session/v1/code";
import type { Session, SessionService } from "@syla/contract/syla/session/v1/session";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { SylaError, toSylaError } from "@syla/kit/error";
import { matchesGlob } from "./glob.ts";
import { errorContent, formsOf } from "./iopub.ts";
import { languageInfo } from "./languages.ts";
import { protocolVersion, textIn } from "./message.ts";

/** What requests are answered with. */
export interface AskOptions {
  readonly sessions: Client<typeof SessionService>;
  readonly session: Session;
  readonly version: string;
  readonly context: CallContext;
}

type Answer = (options: AskOptions, content: JsonObject) => Promise<JsonObject>;

const inputsMax = 1000;
const patternCharsMax = 256;
/** Of each input. */
const searchedCharsMax = 4096;

const answers: Readonly<Record<string, Answer>> = {
  kernel_info_request: async (options) => kernelInfo(options),
  complete_request: complete,
  inspect_request: inspect,
  is_complete_request: isComplete,
  history_request: history,
  comm_info_request: async () => ({ status: "ok", comms: {} }),
};

/** The content of the answer to a request. */
export async function answerRequest(
  options: AskOptions,
  type: string,
  content: JsonObject,
): Promise<JsonObject> {
  const answer = Object.hasOwn(answers, type) ? answers[type] : undefined;
  if (answer === undefined) {
    const message = `Kernels of Syla do not answer ${type}.`;
    return refusal("NotSupported", message);
  }
  try {
    return await answer(options, content);
  } catch (thrown) {
    const { code, message } = toSylaError(thrown);
    return refusal(code, message);
  }
}

/** The content of an answer that refuses. */
export function refusal(name: string, message: string): JsonObject {
  return { status: "error", ...errorContent({ name, message, traceback: [] }) };
}

function kernelInfo({ session: { language, version }, version: own }: AskOptions): JsonObject {
  return {
    ...{ status: "ok", protocol_version: protocolVersion, implementation: "syla" },
    ...{ implementation_version: own, language_info: languageInfo(language, version) },
    ...{ banner: `Syla: ${language} ${version}`, help_links: [], debugger: false },
    supported_features: [],
  };
}

async function complete(options: AskOptions, content: JsonObject): Promise<JsonObject> {
  const { code, cursor } = placeIn(content);
  const { sessions, session, context: parent } = options;
  const found = await unlessBusy(
    sessions.completeCode({ session: session.id, code, cursor }, { parent }),
  );
  const { matches = [], start = cursor, end = cursor } = found ?? {};
  return { status: "ok", matches, cursor_start: start, cursor_end: end, metadata: {} };
}

async function inspect(options: AskOptions, content: JsonObject): Promise<JsonObject> {
  const { code, cursor } = placeIn(content);
  const { sessions, session, context: parent } = options;
  const known = await unlessBusy(
    sessions.inspectCode({ session: session.id, code, cursor }, { parent }),
  );
  const data = formsOf(known?.parts ?? []);
  return { status: "ok", found: known?.found ?? false, data, metadata: {} };
}

async function isComplete(options: AskOptions, content: JsonObject): Promise<JsonObject> {
  const { sessions, session, context: parent } = options;
  const code = textIn(content, "code");
  const checked = await unlessBusy(sessions.checkCode({ session: session.id, code }, { parent }));
  switch (checked?.verdict) {
    case Verdict.COMPLETE:
      return { status: "complete" };
    case Verdict.INCOMPLETE:
      return { status: "incomplete", indent: checked.indent };
    case Verdict.INVALID:
      return { status: "invalid" };
    default:
      return { status: "unknown" };
  }
}

// Of this interpreter alone, as far as its session remembers cells.
async function history(options: AskOptions, content: JsonObject): Promise<JsonObject> {
  const { sessions, session, context: parent } = options;
  const { cells } = await sessions.listCells({ session: session.id }, { parent });
  const counted = cells.flatMap(({ executionCount: line, code }) => {
    return line === undefined ? [] : [{ line, code }];
  });
  const { hist_access_type: access, n, start, stop, pattern, unique } = content;
  const last = typeof n === "number" && n >= 0 ? Math.min(n, inputsMax) : inputsMax;
  let chosen = counted;
  if (access === "range") {
    const [from, to] = [typeof start === "number" ? start : 0, typeof stop === "number" ? stop : 0];
    chosen = counted.filter(({ line }) => line >= from && (to <= 0 || line < to));
  } else if (access === "search") {
    const glob = typeof pattern === "string" ? pattern.slice(0, patternCharsMax) : "*";
    chosen = counted.filter(({ code }) => matchesGlob(code.slice(0, searchedCharsMax), glob));
    if (unique === true) chosen = [...new Map(chosen.map((one) => [one.code, one])).values()];
  }
  const inputs = last === 0 ? [] : chosen.slice(-last);
  const withOutput = content["output"] === true;
  const told = inputs.map(({ line, code }) => [0, line, withOutput ? [code, null] : code]);
  return { status: "ok", history: told };
}

async function unlessBusy<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (thrown) {
    if (thrown instanceof SylaError && thrown.code === "session_busy") return undefined;
    throw thrown;
  }
}

// Both count in characters, so the place needs no translation; one behind the end is at the end.
function placeIn(content: JsonObject): { code: string; cursor: number } {
  const code = textIn(content, "code");
  const place = content["cursor_pos"];
  const isPlace = typeof place === "number" && Number.isInteger(place) && place >= 0;
  return { code, cursor: isPlace ? Math.min(place, code.length) : Array.from(code).length };
}
