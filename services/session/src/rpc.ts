// The wire of SessionService: one handler per method, in the order of the contract.
import { create } from "@bufbuild/protobuf";
import type { CellSpec } from "@syla/contract/syla/session/v1/cell";
import {
  CheckCodeResponseSchema,
  CheckCodeResponse_Verdict as Verdict,
  CompleteCodeResponseSchema,
  InspectCodeResponseSchema,
} from "@syla/contract/syla/session/v1/code";
import { ListSessionLanguagesResponseSchema } from "@syla/contract/syla/session/v1/language";
import {
  AnswerInputResponseSchema,
  ListCellsResponseSchema,
  ListSessionsResponseSchema,
  SessionService,
} from "@syla/contract/syla/session/v1/session";
import type { CallContext } from "@syla/kit/call";
import { type Implementation, implement } from "@syla/kit/dispatch";
import { invalidRequest } from "@syla/kit/validate";
import type { Cell } from "./cell.ts";
import type { Sessions } from "./sessions.ts";
import { type Fields, partsOf, textOf, textsOf, whole } from "./words.ts";

const matchesMax = 500;

export function sessionRpc(sessions: Sessions): Implementation {
  const start = async (id: string, spec: CellSpec | undefined) => {
    // The rules of the contract say that there is one; the type cannot.
    if (spec === undefined) {
      throw invalidRequest([{ pointer: "/spec", detail: "value is required", rule: "required" }]);
    }
    const session = await sessions.find(id);
    return { session, cell: session.run(spec) };
  };
  return implement(SessionService, {
    createSession: ({ spec }, context) => sessions.make(spec, context),
    getSession: ({ id }) => sessions.get(id),
    listSessions: async (request) => {
      const { items, nextPageToken } = await sessions.list(request);
      return create(ListSessionsResponseSchema, { sessions: items, nextPageToken });
    },
    updateSession: ({ id, metadata, remove }) => sessions.update(id, metadata, remove),
    deleteSession: ({ id }) => sessions.delete(id),
    listSessionLanguages: async (_, context) => {
      const languages = await sessions.languages(context);
      return create(ListSessionLanguagesResponseSchema, { languages });
    },
    runCell: async ({ session: id, spec }, context) => {
      const { session, cell } = await start(id, spec);
      await wait(cell, context, () => session.abandon(cell));
      return cell.whole();
    },
    runCellStream: async function* ({ session: id, spec }, context) {
      const { session, cell } = await start(id, spec);
      const { id: number, firstEvent } = cell.message;
      yield* session.watch(firstEvent - 1, number, context);
    },
    getCell: async ({ session, id }) => (await sessions.find(session)).cells.find(id).whole(),
    listCells: async ({ session }) => {
      const cells = (await sessions.find(session)).cells.all.map((cell) => cell.outline());
      return create(ListCellsResponseSchema, { cells });
    },
    watchSession: async function* ({ session: id, after, cell }, context) {
      const session = await sessions.find(id);
      yield* session.watch(after, cell, context);
    },
    answerInput: async ({ session, cell, text, end }) => {
      await (await sessions.find(session)).answer(cell, end ? undefined : text);
      return create(AnswerInputResponseSchema);
    },
    interruptSession: async ({ id, cell }) => {
      const session = await sessions.find(id);
      if (cell === 0) session.interrupt();
      else session.abandon(session.cells.find(cell));
      return session.message;
    },
    restartSession: async ({ id }) => {
      const session = await sessions.find(id);
      await session.restart();
      return session.message;
    },
    ...codeRpc(sessions),
  });
}

// What is asked about code without running it.
function codeRpc(sessions: Sessions) {
  return {
    completeCode: async ({ session, code, cursor }: Place) => {
      const body = await (await sessions.find(session)).ask({ do: "complete", code, cursor });
      return completion(body, cursor);
    },
    inspectCode: async ({ session, code, cursor }: Place) => {
      const body = await (await sessions.find(session)).ask({ do: "inspect", code, cursor });
      const found = body["found"] === true;
      return create(InspectCodeResponseSchema, {
        found,
        parts: found ? partsOf(body["forms"]) : [],
      });
    },
    checkCode: async ({ session, code }: Omit<Place, "cursor">) => {
      const body = await (await sessions.find(session)).ask({ do: "check", code });
      const verdict = verdicts.get(body["verdict"]) ?? Verdict.VERDICT_UNSPECIFIED;
      return create(CheckCodeResponseSchema, { verdict, indent: textOf(body, "indent", 64) });
    },
  };
}

interface Place {
  readonly session: string;
  readonly code: string;
  readonly cursor: number;
}

const verdicts: ReadonlyMap<unknown, Verdict> = new Map([
  ["complete", Verdict.COMPLETE],
  ["incomplete", Verdict.INCOMPLETE],
  ["invalid", Verdict.INVALID],
]);

function completion(body: Fields, cursor: number) {
  const matches = textsOf(body, "matches", matchesMax);
  if (matches.length === 0) {
    return create(CompleteCodeResponseSchema, { matches, start: cursor, end: cursor });
  }
  return create(CompleteCodeResponseSchema, {
    ...{ matches, start: whole(body, "start"), end: whole(body, "end") },
  });
}

/** Waits for a cell's end; a caller who leaves does not wait, and leaves it to `left`. */
async function wait(cell: Cell, context: CallContext, left: () => void): Promise<void> {
  const gone = Promise.withResolvers<void>();
  const stop = context.onAbort(() => gone.resolve());
  try {
    await Promise.race([cell.ended, gone.promise]);
  } finally {
    stop();
  }
  if (context.aborted === undefined || cell.over) return;
  left();
  context.throwIfAborted();
}
