// The contexts in which E2B's clients run code: sessions in their sandbox. What has to be remembered of one is in the
// session's metadata, so it is found again by every gateway and after a restart of this one.
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Session,
  type SessionService,
  Session_Status as Status,
} from "@syla/contract/syla/session/v1/session";
import type { CallContext } from "@syla/kit/call";
import type { Client } from "@syla/kit/client";
import { SylaError } from "@syla/kit/error";
import { Refusal } from "./errors.ts";
import { absolute, home, inside } from "./home.ts";
import { formsForPrograms } from "./results.ts";

type Sessions = Client<typeof SessionService>;

/** What a context is to be. */
export interface ContextSpec {
  /** Empty takes Python. */
  readonly language: string;
  /** Empty is home. */
  readonly cwd: string;
}

/** Marks the context of a language for code that names none. */
const defaultKey = "e2bDefault";
/** The folder as it was asked for. */
const folderKey = "e2bCwd";
const listPage = 1000;
/** There a context is there for as long as its sandbox; so it is here, since none of those lives longer. */
const idleMs = 86_400_000;
const languageShape = /^[a-z0-9+#._-]{0,64}$/;
const shortNames: ReadonlyMap<string, string> = new Map([
  ["", "python"],
  ["js", "javascript"],
  ["ts", "typescript"],
]);

/** The contexts of all sandboxes. */
export class Contexts {
  readonly #sessions: Sessions;
  /** Default contexts that are being made: whoever else comes for one gets the same. */
  readonly #making = new Map<string, Promise<Session>>();

  constructor(sessions: Sessions) {
    this.#sessions = sessions;
  }

  /** Begins to make the default context of Python, so that it is there, or nearly, when code comes. */
  prepare(sandbox: string): void {
    // Who needs it then is told why there is none.
    this.#ofLanguage(sandbox, "python").catch(() => undefined);
  }

  /** All of a sandbox, oldest first. */
  async list(sandbox: string, parent: CallContext): Promise<Session[]> {
    await this.#making.get(keyOf(sandbox, "python"))?.catch(() => undefined);
    return this.#list(`sandbox = "${sandbox}"`, parent);
  }

  /** One of a sandbox; throws what E2B says when there is none. */
  async find(sandbox: string, id: string, parent: CallContext): Promise<Session> {
    const found = await this.#read(id, parent);
    const isThere = found?.status !== Status.ENDED && found?.status !== Status.LOST;
    if (found?.sandbox === sandbox && isThere) return found;
    throw noContext(id);
  }

  /** The one for code that names none; made when it is first asked for. */
  async byDefault(sandbox: string, asked: string, parent: CallContext): Promise<Session> {
    const language = languageOf(asked);
    const found = await this.#findDefault(sandbox, language, parent);
    return found ?? this.#ofLanguage(sandbox, language);
  }

  /** Makes one. */
  async make(sandbox: string, spec: ContextSpec, parent: CallContext): Promise<Session> {
    const made = sessionSpec(sandbox, { ...spec, language: languageOf(spec.language) });
    return this.#sessions.createSession({ spec: made }, { parent });
  }

  #ofLanguage(sandbox: string, language: string): Promise<Session> {
    const key = keyOf(sandbox, language);
    const known = this.#making.get(key);
    if (known !== undefined) return known;
    const making = this.#makeDefault(sandbox, language).finally(() => this.#making.delete(key));
    this.#making.set(key, making);
    return making;
  }

  // Without a parent: it is for all who wait for it, and the first of them may leave.
  async #makeDefault(sandbox: string, language: string): Promise<Session> {
    // One may have been made between the look for it and this.
    const found = await this.#findDefault(sandbox, language);
    if (found !== undefined) return found;
    const spec = sessionSpec(sandbox, { language, cwd: "" });
    const metadata = { ...spec.metadata, [defaultKey]: language };
    return this.#sessions.createSession({ spec: { ...spec, metadata } });
  }

  async #findDefault(
    sandbox: string,
    language: string,
    parent?: CallContext,
  ): Promise<Session | undefined> {
    const filter = `sandbox = "${sandbox}" AND metadata.${defaultKey} = "${language}"`;
    // Two gateways can have made two at once; the first is everybody's.
    return (await this.#list(filter, parent))[0];
  }

  async #list(filter: string, parent?: CallContext): Promise<Session[]> {
    const options = parent === undefined ? {} : { parent };
    const there = `${filter} AND status != "ENDED" AND status != "LOST"`;
    const found: Session[] = [];
    let pageToken = "";
    do {
      const request = { filter: there, pageSize: listPage, pageToken };
      const page = await this.#sessions.listSessions(request, options);
      found.push(...page.sessions);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return found.toReversed();
  }

  async #read(id: string, parent: CallContext): Promise<Session | undefined> {
    try {
      return await this.#sessions.getSession({ id }, { parent });
    } catch (thrown) {
      const codes = ["session_not_found", "invalid_request"];
      if (thrown instanceof SylaError && codes.includes(thrown.code)) return undefined;
      throw thrown;
    }
  }
}

/** A context as it is told. */
export function contextOf({ id, language, directory, metadata }: Session): object {
  return { id, language, cwd: metadata[folderKey] ?? directory };
}

/** The answer to who names a context that is not there. */
export function noContext(id: string): Refusal {
  return new Refusal("not_found", `Context ${id} not found`);
}

function keyOf(sandbox: string, language: string): string {
  return `${sandbox} ${language}`;
}

function languageOf(asked: string): string {
  const name = asked.trim().toLowerCase();
  if (languageShape.test(name)) return shortNames.get(name) ?? name;
  throw new Refusal("invalid_argument", "Cannot make a context: its language is no name of one.");
}

function sessionSpec(sandbox: string, { language, cwd }: ContextSpec) {
  const folder = cwd === "" ? home : absolute(cwd);
  return {
    ...{ sandbox, language, directory: inside(folder), metadata: { [folderKey]: folder } },
    // As every command of E2B's user has them; the last is for the interpreter.
    env: { PWD: folder, E2B_SANDBOX_ID: sandbox, SYLA_FORMS: formsForPrograms },
    idleTimeout: durationFromMs(idleMs),
  };
}
