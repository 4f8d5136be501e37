// One connection to a kernel: what its client asks goes to the session, and what happens in that, whoever ran it, comes
// back as the kernel's messages. There is one loop that tells, an event at a time, and it waits for a client that does
// not read; so nothing collects here, and what the session then does not hold any more is told as lost.
import { randomUUID } from "node:crypto";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { Cell_Status as CellStatus } from "@syla/contract/syla/session/v1/cell";
import {
  type Session,
  type SessionEvent,
  Session_Status as Status,
} from "@syla/contract/syla/session/v1/session";
import type { CallContext } from "@syla/kit/call";
import { Changes } from "@syla/kit/changes";
import { type SylaError, toSylaError } from "@syla/kit/error";
import type { Peer } from "../../adapters.ts";
import { executeReply, publishedOf, type Published, state } from "./iopub.ts";
import { keepKernel, type KeepOptions } from "./keep.ts";
import type { Connection, KernelLink, KernelLinks, LinkedCell } from "./links.ts";
import {
  type Channel as ChannelName,
  frameOf,
  headerOf,
  type Message,
  MessageError,
  messageOf,
  readBytes,
  readText,
  textIn,
} from "./message.ts";
import { answerRequest, refusal } from "./requests.ts";
import { Turns } from "./turns.ts";

export interface ChannelOptions extends KeepOptions {
  readonly links: KernelLinks;
  readonly version: string;
  readonly kernel: string;
  /** Who connects, in their own words. */
  readonly client: string;
  readonly peer: Peer;
  readonly context: CallContext;
}

const closes = { done: 1000, notUnderstood: 1007, tooMuch: 1008, failed: 1011 } as const;
const clientCharsMax = 256;
const expressionsMax = 100;

function textsIn(value: JsonValue | undefined): [name: string, text: string][] {
  const texts = Object.entries(value ?? {}).flatMap(([name, text]): [string, string][] =>
    typeof text === "string" ? [[name, text]] : [],
  );
  return texts.slice(0, expressionsMax);
}

/** Serves a connection to its end. */
export function serveChannel(options: ChannelOptions): void {
  const known = options.client !== "" && options.client.length <= clientCharsMax;
  const client = known ? options.client : randomUUID();
  void new Channel({ ...options, client }).run();
}

class Channel implements Connection {
  readonly #options: ChannelOptions;
  readonly #turns = new Turns();
  readonly #opened = Promise.withResolvers<{ link: KernelLink; session: Session }>();
  #link: KernelLink | undefined;
  /** The last count that the interpreter told. */
  #count = 0;
  /** The cell that runs, as far as this client was told. */
  #running: number | undefined;
  #restarting = false;
  /** Told when a cell has ended. */
  readonly #ended = new Changes();
  /** How many cells were told to be skipped, since one before them failed or was interrupted. */
  #aborts = 0;
  #over = false;

  constructor(options: ChannelOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { peer, context, sessions, kernel, client, links } = this.#options;
    this.#opened.promise.catch(() => undefined); // told below, to whoever waits for it too
    peer.isIdle = () => this.#isIdle();
    peer.onText((text) => this.#take(text.length, () => readText(text)));
    peer.onBytes((bytes) => this.#take(bytes.length, () => readBytes(bytes, peer.protocol)));
    let stop = (): void => undefined;
    try {
      const session = await sessions.getSession({ id: kernel }, { parent: context });
      const link = links.enter(kernel, client, this);
      this.#link = link;
      this.#count = session.executionCount;
      stop = keepKernel(this.#options, session);
      const after = link.places.get(client) ?? session.lastEvent;
      await this.#tellRunning(link);
      this.#opened.resolve({ link, session });
      await this.#watch(link, after);
    } catch (thrown) {
      await this.#fail(thrown);
    } finally {
      stop();
      this.#opened.reject(new Error("The connection has ended."));
      if (this.#link !== undefined) links.leave(this.#link, client, this);
    }
  }

  replaced(): void {
    this.#close("done", "The client has connected anew.");
  }

  async #watch(link: KernelLink, after: number): Promise<void> {
    const { sessions, kernel, client, context: parent } = this.#options;
    const request = { session: kernel, after };
    for await (const event of sessions.watchSession(request, { parent })) {
      await this.#tell(link, event);
      if (this.#over) return;
      link.place(client, event.number);
    }
    this.#close("done", "The kernel has ended.");
  }

  // One who comes while a cell runs is told so.
  async #tellRunning(link: KernelLink): Promise<void> {
    const { sessions, kernel, context: parent } = this.#options;
    const { cells } = await sessions.listCells({ session: kernel }, { parent });
    const running = cells.find(({ status }) => status === CellStatus.RUNNING);
    if (running === undefined) return;
    const cell = await this.#cellOf(link, running.id);
    cell.count = running.executionCount ?? cell.count;
    this.#running = running.id;
    await this.#publish(state("busy"), cell.parent);
  }

  async #tell(link: KernelLink, { number, cell: id, ...told }: SessionEvent): Promise<void> {
    const { event } = told;
    if (event.case === "session") return this.#tellSession(link, event.value, number);
    const cell = await this.#cellOf(link, id);
    const isOurs = cell.client === this.#options.client;
    if (event.case === "started") {
      await this.#settle(link, (before) => before < id);
      const { executionCount } = event.value;
      cell.count = executionCount ?? this.#count + 1;
      this.#count = executionCount ?? this.#count;
      this.#running = id;
    }
    if (event.case === "inputRequest") {
      link.asking = id;
      const { prompt, password } = event.value;
      if (isOurs) await this.#send("stdin", "input_request", cell.parent, { prompt, password });
    }
    if (event.case === "ended") {
      cell.ended = true;
      if (this.#running === id) this.#running = undefined;
      if (link.asking === id) link.asking = undefined;
      if (isOurs && !cell.answered) await this.#answer(cell, event.value);
    }
    const code = await this.#codeOf(id, event);
    for (const one of publishedOf({ number, cell: id, ...told }, { count: cell.count, code })) {
      await this.#publish(one, cell.parent);
    }
    if (event.case !== "ended") return;
    if (event.value.status === CellStatus.SKIPPED) this.#aborts += 1;
    this.#ended.tell();
    this.#options.peer.rest();
  }

  // Told when the cell was given, which may be long ago; asked for again rather than held by every client.
  async #codeOf(id: number, event: SessionEvent["event"]): Promise<string> {
    if (event.case !== "started" || event.value.silent) return "";
    const { sessions, kernel, context: parent } = this.#options;
    return (await sessions.getCell({ session: kernel, id }, { parent })).code;
  }

  async #tellSession(link: KernelLink, session: Session, number: number): Promise<void> {
    switch (session.status) {
      case Status.RESTARTING: {
        // Clients take "restarting" for a restart that nobody asked for, and begin anew.
        const isAsked = link.restartOf === session.restarts;
        this.#restarting = true;
        this.#count = session.executionCount;
        return this.#publish(state(isAsked ? "starting" : "restarting"));
      }
      case Status.IDLE:
        // What waits for a restart runs after it; else nothing waits or runs.
        if (this.#restarting) await this.#publish(state("idle"));
        else await this.#settle(link, (_, { firstEvent }) => firstEvent < number);
        this.#restarting = false;
        return;
      case Status.ENDED:
      case Status.LOST:
        return this.#publish(state("dead"));
      default:
        return;
    }
  }

  // Answers for cells whose end this client was to be told and was not, since it did not read for too long.
  async #settle(link: KernelLink, isOver: (id: number, cell: LinkedCell) => boolean) {
    const { client, sessions, kernel, context: parent } = this.#options;
    for (const [id, cell] of link.cells) {
      if (cell.client !== client || cell.answered || !isOver(id, cell)) continue;
      const known = await sessions
        .getCell({ session: kernel, id }, { parent })
        .catch(() => undefined);
      if (known?.status === CellStatus.QUEUED || known?.status === CellStatus.RUNNING) continue;
      cell.ended = true;
      if (known !== undefined) await this.#answer(cell, known);
      else
        await this.#refuse(cell.parent, "OutputLost", "The cell has ended, and how is not known.");
      cell.answered = true;
      await this.#publish(state("idle"), cell.parent);
    }
  }

  async #answer(cell: LinkedCell, ended: Parameters<typeof executeReply>[0]): Promise<void> {
    cell.answered = true;
    const { expressions } = cell;
    const content = executeReply(ended, { lastCount: this.#count, expressions });
    await this.#send("shell", "execute_reply", cell.parent, content);
  }

  /** What is known of a cell; of one that was not given here, as if it had been given by the kernel itself. */
  async #cellOf(link: KernelLink, id: number): Promise<LinkedCell> {
    if (!link.cells.has(id)) await Promise.allSettled(link.starting);
    const { kernel } = this.#options;
    const header = () => (id === 0 ? {} : headerOf(kernel, "execute_request", `${kernel}-${id}`));
    const fresh = () => ({
      ...{ parent: header(), client: undefined, firstEvent: 0, expressions: [] },
      ...{ count: 0, ended: id === 0, answered: false },
    });
    return link.cells.get(id) ?? link.add(id, fresh());
  }

  #take(bytes: number, read: () => Message): void {
    if (this.#over) return;
    try {
      const message = read();
      // What ends or answers a cell does not wait behind what waits for it.
      const isUrgent = message.channel !== "shell";
      const aborts = this.#aborts;
      const work = () => this.#handle(message, aborts);
      if (this.#turns.take(isUrgent ? "urgent" : "shell", bytes, work)) return;
      this.#close("tooMuch", "Too much waits to be done or read.");
    } catch (thrown) {
      const why = thrown instanceof MessageError ? thrown.message : "It is not understood.";
      this.#close("notUnderstood", why);
    }
  }

  async #handle(message: Message, aborts: number): Promise<void> {
    const { channel, header, content } = message;
    try {
      const { link, session } = await this.#opened.promise;
      const type = textIn(header, "msg_type");
      if (type === "execute_request") return await this.#execute(link, message, aborts);
      if (type === "input_reply") return await this.#input(link, content);
      await this.#publish(state("busy"), header);
      if (type.endsWith("_request")) {
        const answer = await this.#reply(link, session, type, content);
        await this.#send(channel, type.replace(/request$/, "reply"), header, answer);
      } else if (type === "comm_open") {
        // Nobody here knows its target.
        const closed = { comm_id: textIn(content, "comm_id"), data: {} };
        await this.#publish({ type: "comm_close", content: closed }, header);
      }
      await this.#publish(state("idle"), header);
      // That was of the question alone.
      const running = this.#running === undefined ? undefined : link.cells.get(this.#running);
      if (running !== undefined) await this.#publish(state("busy"), running.parent);
    } catch (thrown) {
      await this.#fail(thrown);
    } finally {
      this.#options.peer.rest();
    }
  }

  async #reply(link: KernelLink, session: Session, type: string, content: JsonObject) {
    const { sessions, kernel: id, context, version } = this.#options;
    try {
      if (type === "interrupt_request") {
        await sessions.interruptSession({ id }, { parent: context });
        return { status: "ok" };
      }
      if (type === "shutdown_request") {
        const restart = content["restart"] === true;
        if (restart) {
          link.restartOf = (await sessions.getSession({ id }, { parent: context })).restarts;
          await sessions.restartSession({ id }, { parent: context });
        } else await sessions.deleteSession({ id }, { parent: context });
        return { status: "ok", restart };
      }
    } catch (thrown) {
      const { code, message } = toSylaError(thrown);
      return refusal(code, message);
    }
    return answerRequest({ sessions, session, version, context }, type, content);
  }

  // Runs a cell, unless cells are aborted before its turn has come.
  async #execute(
    link: KernelLink,
    { header: parent, content }: Message,
    aborts: number,
  ): Promise<void> {
    while (aborts === this.#aborts) {
      const fault = await this.#attempt(link, parent, content);
      if (fault === undefined) return;
      if (fault.code !== "cells_full") return this.#tellRefused(parent, fault);
      // A front end gives all cells of a notebook at once.
      await this.#ended.next(this.#options.context);
      this.#options.context.throwIfAborted();
    }
    await this.#publish(state("busy"), parent);
    const aborted = { status: "aborted", execution_count: 0 };
    await this.#send("shell", "execute_reply", parent, aborted);
    await this.#publish(state("idle"), parent);
  }

  async #tellRefused(parent: JsonObject, { code, message }: SylaError): Promise<void> {
    await this.#publish(state("busy"), parent);
    await this.#refuse(parent, code, message);
    await this.#publish(state("idle"), parent);
  }

  async #attempt(link: KernelLink, parent: JsonObject, content: JsonObject) {
    const started = this.#start(link, parent, content);
    link.starting.add(started);
    try {
      await started;
      return undefined;
    } catch (thrown) {
      return toSylaError(thrown);
    } finally {
      link.starting.delete(started);
    }
  }

  async #start(link: KernelLink, parent: JsonObject, content: JsonObject): Promise<void> {
    const { sessions, kernel, client, context } = this.#options;
    const silent = content["silent"] === true;
    const expressions = textsIn(content["user_expressions"]);
    const spec = {
      ...{ code: textIn(content, "code"), silent, input: content["allow_stdin"] === true },
      uncounted: content["store_history"] === false,
      // What a front end asks for itself aborts nothing of its user's.
      continueOnError: silent || content["stop_on_error"] === false,
      expressions: Object.fromEntries(expressions),
    };
    const request = { session: kernel, spec };
    // Its number is all that is wanted; what comes of it is told to all who watch.
    for await (const { cell, number } of sessions.runCellStream(request, { parent: context })) {
      const names = expressions.map(([name]) => name);
      const facts = { parent, client, expressions: names, firstEvent: number };
      link.add(cell, { ...facts, count: 0, ended: false, answered: false });
      return;
    }
  }

  async #input(link: KernelLink, content: JsonObject): Promise<void> {
    const { sessions, kernel: session, context: parent } = this.#options;
    const cell = link.asking;
    if (cell === undefined) return;
    const answer = sessions.answerInput(
      { session, cell, text: textIn(content, "value") },
      { parent },
    );
    // It may have been answered, or interrupted, meanwhile.
    await answer.catch(() => undefined);
  }

  async #refuse(parent: JsonObject, name: string, message: string): Promise<void> {
    const content = refusal(name, message);
    const { status: _, ...error } = content;
    await this.#publish({ type: "error", content: error }, parent);
    await this.#send("shell", "execute_reply", parent, { ...content, execution_count: 0 });
  }

  #publish({ type, content }: Published, parent: JsonObject = {}): Promise<void> {
    return this.#send("iopub", type, parent, content);
  }

  async #send(channel: ChannelName, type: string, parent: JsonObject, content: JsonObject) {
    const { peer, kernel } = this.#options;
    if (this.#over) return;
    await peer.send(frameOf(messageOf(kernel, channel, type, parent, content), peer.protocol));
  }

  #isIdle(): boolean {
    const { client } = this.#options;
    const cells = [...(this.#link?.cells.values() ?? [])];
    return this.#turns.isEmpty && !cells.some((cell) => cell.client === client && !cell.answered);
  }

  async #fail(thrown: unknown): Promise<void> {
    const { context } = this.#options;
    if (this.#over || context.aborted !== undefined) return this.#close("done", "The end.");
    const { code, message } = toSylaError(thrown);
    if (code !== "session_not_found" && code !== "session_ended") {
      return this.#close("failed", message);
    }
    await this.#publish(state("dead"));
    this.#close("done", message);
  }

  #close(why: keyof typeof closes, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.peer.close(closes[why], reason);
  }
}
