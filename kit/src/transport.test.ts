// One matrix over every way a call is carried: whoever calls cannot tell memory from gRPC.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Message } from "@bufbuild/protobuf";
import { CallContext, callerLeft } from "./call.ts";
import type { Dispatcher } from "./dispatch.ts";
import { SylaError } from "./error.ts";
import { connectGrpc } from "./grpc-client.ts";
import { startGrpcServer } from "./grpc-server.ts";
import { createProbe, note, parseNote, type ProbeLog, probeService } from "./transport-fixture.ts";

interface Carried {
  readonly dispatcher: Dispatcher;
  readonly log: ProbeLog;
  close(): void;
}

async function overMemory(): Promise<Carried> {
  return { ...createProbe(), close: () => undefined };
}

async function overGrpc(): Promise<Carried> {
  const { dispatcher, log } = createProbe();
  const server = await startGrpcServer(dispatcher, { port: 0 });
  const client = connectGrpc([probeService], { address: server.address ?? "" });
  const close = () => {
    client.close();
    server.close();
  };
  return { dispatcher: client, log, close };
}

const path = (name: string) => `/syla.probe.v1.ProbeService/${name}`;

function echo(dispatcher: Dispatcher, request: Message, context = new CallContext()) {
  const unary = dispatcher.method(path("Echo"))?.unary;
  assert.ok(unary);
  return unary(request, context);
}

function stream(
  dispatcher: Dispatcher,
  name: string,
  request: Message | AsyncIterable<Message>,
  context = new CallContext(),
): AsyncIterable<Message> {
  const call = dispatcher.method(path(name))?.stream;
  assert.ok(call);
  return call(request, context);
}

async function caught(promise: Promise<unknown>): Promise<SylaError> {
  try {
    await promise;
  } catch (thrown) {
    assert.ok(thrown instanceof SylaError, String(thrown));
    return thrown;
  }
  return assert.fail("Nothing was thrown.");
}

async function all(messages: AsyncIterable<Message>): Promise<Message[]> {
  const seen: Message[] = [];
  for await (const message of messages) seen.push(message);
  return seen;
}

async function* notes(texts: readonly string[]): AsyncGenerator<Message> {
  for (const text of texts) yield note({ text });
}

/** Waits, within two seconds, for what the other side does on its own. */
async function until(condition: () => boolean, what: string): Promise<void> {
  for (let waited = 0; waited < 2000; waited += 5) {
    if (condition()) return;
    await sleep(5);
  }
  assert.fail(`Waited in vain: ${what}.`);
}

for (const [name, open] of [
  ["memory", overMemory],
  ["gRPC", overGrpc],
] as const) {
  describe(`a call over ${name}`, async () => {
    const { dispatcher, log, close } = await open();
    after(close);
    const handlerEnded = () => until(() => log.started === log.ended, "the handler ended");

    test("answers what the handler answered", async () => {
      const payload = new Uint8Array([0, 1, 255]);
      const answer = parseNote(await echo(dispatcher, note({ text: "é\u0000✓", payload })));
      assert.equal(answer.text, "é\u0000✓");
      assert.deepEqual([...answer.payload], [0, 1, 255]);
    });

    test("carries an error with its code, message, violations and delay", async () => {
      const error = await caught(echo(dispatcher, note({ text: "fail" })));
      assert.equal(error.code, "invalid_request");
      assert.equal(error.message, "Cannot accept /text: it is “fail” — 100 %.");
      assert.deepEqual(error.violations, [
        { pointer: "/text", detail: "must not be fail", rule: "probe.text" },
      ]);
      assert.equal(error.retryAfterMs, 1500);
    });

    test("tells nothing of a crash", async () => {
      const error = await caught(echo(dispatcher, note({ text: "crash" })));
      assert.equal(error.code, "internal");
      assert.doesNotMatch(error.message, /secret/);
    });

    test("ends at its deadline, and so does the handler", async () => {
      const context = new CallContext({ deadline: Date.now() + 50 });
      const error = await caught(echo(dispatcher, note({ text: "hang" }), context));
      assert.equal(error.code, "deadline_exceeded");
      await handlerEnded();
      assert.equal(log.context?.aborted?.code, "deadline_exceeded");
    });

    test("with a deadline in the past fails", async () => {
      const context = new CallContext({ deadline: Date.now() - 1 });
      const error = await caught(echo(dispatcher, note({}), context));
      assert.equal(error.code, "deadline_exceeded");
    });

    test("that is cancelled ends, and so does the handler", async () => {
      const context = new CallContext();
      const before = log.started;
      const call = caught(echo(dispatcher, note({ text: "hang" }), context));
      await until(() => log.started > before, "the handler began");
      context.abort(callerLeft());
      assert.equal((await call).code, "cancelled");
      await handlerEnded();
      assert.equal(log.context?.aborted?.code, "cancelled");
    });

    test("carries the request id and the trace", async () => {
      const traceparent = `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`;
      const context = new CallContext({ requestId: "req-1", traceparent });
      await echo(dispatcher, note({}), context);
      assert.equal(log.context?.requestId, "req-1");
      assert.equal(log.context?.trace.traceId, "ab".repeat(16));
      assert.equal(log.context?.trace.sampled, true);
    });

    test("carries 3 MiB both ways", async () => {
      const payload = new Uint8Array(3 * 1024 * 1024).fill(7);
      const answer = parseNote(await echo(dispatcher, note({ payload })));
      assert.equal(answer.payload.byteLength, payload.byteLength);
    });

    test("streams in order to the end", async () => {
      const seen = await all(stream(dispatcher, "Count", note({ count: 1000 })));
      assert.deepEqual(
        seen.map((message) => parseNote(message).count),
        Array.from({ length: 1000 }, (_, index) => index + 1),
      );
    });

    test("gives what was streamed before an error, then the error", async () => {
      const messages = stream(dispatcher, "Count", note({ count: 3, text: "fail" }));
      const seen: Message[] = [];
      const read = async () => {
        for await (const message of messages) seen.push(message);
      };
      const error = await caught(read());
      assert.equal(error.code, "invalid_request");
      assert.equal(error.violations.length, 1);
      assert.equal(seen.length, 3);
    });

    test("that breaks out of a stream ends the handler", async () => {
      for await (const message of stream(dispatcher, "Count", note({}))) {
        if (parseNote(message).count === 3) break;
      }
      await handlerEnded();
    });

    test("that is cancelled between messages ends the handler", async () => {
      const context = new CallContext();
      const messages = stream(dispatcher, "Count", note({ count: 1, text: "hang" }), context);
      const iterator = messages[Symbol.asyncIterator]();
      await iterator.next();
      const next = caught(iterator.next());
      context.abort(callerLeft());
      assert.equal((await next).code, "cancelled");
      await handlerEnded();
    });

    test("whose stream passes its deadline fails, though the handler ends quietly", async () => {
      const context = new CallContext({ deadline: Date.now() + 60 });
      const error = await caught(
        all(stream(dispatcher, "Count", note({ count: 1, text: "hang" }), context)),
      );
      assert.equal(error.code, "deadline_exceeded");
      await handlerEnded();
    });

    test("read slowly holds the handler back", async () => {
      const payload = new Uint8Array(64 * 1024);
      const before = log.sent;
      const iterator = stream(dispatcher, "Count", note({ payload }))[Symbol.asyncIterator]();
      await iterator.next();
      await sleep(300);
      const sent = log.sent - before;
      assert.ok(sent < 200, `${sent} messages were sent to a reader of one`);
      await iterator.return?.();
      await handlerEnded();
    });

    test("takes a stream of requests", async () => {
      const [answer] = await all(stream(dispatcher, "Join", notes(["a", "b", "c"])));
      assert.ok(answer);
      assert.equal(parseNote(answer).text, "a b c");
    });

    test("answered before its requests ended lets go of them", async () => {
      let closed = false;
      const endless = async function* () {
        try {
          yield note({ text: "a" });
          yield note({ text: "enough" });
          for (;;) {
            await sleep(5);
            yield note({ text: "b" });
          }
        } finally {
          closed = true;
        }
      };
      const [answer] = await all(stream(dispatcher, "Join", endless()));
      assert.ok(answer);
      assert.equal(parseNote(answer).text, "a");
      await until(() => closed, "the requests were let go");
    });

    test("whose requests break a rule fails with the handler's error", async () => {
      const error = await caught(all(stream(dispatcher, "Join", notes(["a", "fail"]))));
      assert.equal(error.code, "invalid_request");
      assert.equal(error.violations.length, 1);
    });

    test("talks both ways, one message at a time", async () => {
      const waiting: ((message: Message) => void)[] = [];
      const requests = async function* () {
        for (;;) yield await new Promise<Message>((resolve) => waiting.push(resolve));
      };
      const answers = stream(dispatcher, "Chat", requests())[Symbol.asyncIterator]();
      for (const text of ["one", "two", "three"]) {
        const answer = answers.next();
        await until(() => waiting.length > 0, "a request was asked for");
        waiting.shift()?.(note({ text }));
        const { value } = await answer;
        assert.equal(parseNote(value).text, `re: ${text}`);
      }
      await answers.return?.();
      // A handler that waits for a request is ended by its caller's leaving, at the latest with the next request.
      waiting.shift()?.(note({ text: "enough" }));
      await handlerEnded();
    });

    test("many at once are answered each with its own", async () => {
      const texts = Array.from({ length: 200 }, (_, index) => `n${index}`);
      const answers = await Promise.all(texts.map((text) => echo(dispatcher, note({ text }))));
      assert.deepEqual(
        answers.map((answer) => parseNote(answer).text),
        texts,
      );
    });
  });
}
