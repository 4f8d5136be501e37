// How a visitor of a port is told that there is nothing for them: a program by a problem, a browser by a small page,
// E2B's clients as E2B does it.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { CallContext } from "@syla/kit/call";
import type { SylaError } from "@syla/kit/error";
import { type AnswerRules, contextHeaders, sendAnswer, sendProblem } from "../answer.ts";
import { closedPortReply, goneReply, isGone } from "../adapters/e2b/errors.ts";
import { problemHeaders } from "../problem.ts";
import type { Target } from "./target.ts";

interface Visitor {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly context: CallContext;
}

/** Answers an error. */
export function refuse(
  { request, response, context }: Visitor,
  error: SylaError,
  target: Target | undefined,
  answers: AnswerRules,
): void {
  if (response.headersSent) return void response.destroy();
  // Nobody reads the rest of what it sends.
  if (!request.complete) response.shouldKeepAlive = false;
  const headers = [
    ...contextHeaders(context),
    ...problemHeaders(error),
    "Cache-Control",
    "no-store",
  ];
  const reply = target?.way === "e2b" ? e2bReply(error, target) : undefined;
  if (reply !== undefined) return sendAnswer(request, response, { ...reply, headers }, answers);
  if (!/\btext\/html\b/.test(request.headers.accept ?? "")) {
    return sendProblem(request, response, error, { context }, answers);
  }
  const contentType = "text/html; charset=utf-8";
  const answer = { status: error.httpStatus, contentType, text: pageOf(error, context), headers };
  sendAnswer(request, response, answer, answers);
}

function e2bReply(error: SylaError, { sandbox, port }: Target) {
  if (isGone(error)) return goneReply(sandbox);
  return error.code === "port_closed" ? closedPortReply(sandbox, port) : undefined;
}

function pageOf(error: SylaError, { requestId }: CallContext): string {
  const title = escape(error.entry.title);
  return [
    "<!doctype html>",
    `<html lang="en"><meta charset="utf-8"><title>${title}</title>`,
    `<h1>${title}</h1>`,
    `<p>${escape(error.message)}</p>`,
    `<p>${error.httpStatus} ${error.code}, request ${escape(requestId)}</p></html>`,
    "",
  ].join("\n");
}

function escape(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
