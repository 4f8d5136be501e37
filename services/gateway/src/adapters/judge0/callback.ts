// Sends a result to the URL that its client gave. The URL is somebody else's word on where this platform, which may
// reach more than they do, shall send a request; so the name is resolved here, every address it has must be one that
// may be sent to, and the connection goes to the very address that was looked at: a name that answers differently the
// second time gains nothing. Redirects are not followed, the answer is not read, and there is an end to time and tries.
import { lookup as resolveName } from "node:dns/promises";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { isReachable, type Reach } from "./address.ts";

/** As Judge0 has it (CALLBACKS_MAX_TRIES, CALLBACKS_TIMEOUT). */
export const triesMax = 3;
export const timeoutMs = 5000;
const pauseMs = 500;

interface Address {
  readonly address: string;
  readonly family: number;
}

export interface CallbackOptions {
  readonly reach: Reach;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** All addresses of a name. Default: the system's resolver. */
  readonly resolve?: (name: string) => Promise<readonly Address[]>;
}

/** Puts a body to a URL; throws when every try has failed, or none may be made. */
export async function sendCallback(
  url: URL,
  body: string,
  options: CallbackOptions,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      const signal = AbortSignal.any([options.signal, AbortSignal.timeout(timeoutMs)]);
      const target = await resolveTarget(url, options, signal);
      await put(url, body, target, signal);
      return;
    } catch (thrown) {
      const isFinal = thrown instanceof RangeError || options.signal.aborted;
      if (isFinal || tries === triesMax) throw thrown;
      await sleep(pauseMs * tries, undefined, { signal: options.signal });
    }
  }
}

async function resolveTarget(
  url: URL,
  options: CallbackOptions,
  signal: AbortSignal,
): Promise<Address> {
  const name = url.hostname.replace(/^\[|\]$/g, "");
  const resolve = options.resolve ?? ((host: string) => resolveName(host, { all: true }));
  const family = isIP(name);
  const addresses = family > 0 ? [{ address: name, family }] : await inTime(resolve(name), signal);
  const refused = addresses.find(({ address }) => !isReachable(address, options.reach));
  const [first] = addresses;
  if (refused !== undefined || first === undefined) {
    throw new RangeError(`Cannot call back ${url.host}: its address may not be sent to.`);
  }
  return first;
}

// A resolver cannot be told to stop.
function inTime<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(parseError(signal.reason)), { once: true });
    answer.then(resolve, reject);
  });
}

// What a signal is aborted with is an error unless somebody wanted it otherwise.
function parseError(reason: unknown): Error {
  return reason as Error;
}

function put(url: URL, body: string, target: Address, signal: AbortSignal): Promise<void> {
  const request = url.protocol === "https:" ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const sent = request(url, {
      method: "PUT",
      headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) },
      // A connection that is kept may lead to where the name pointed before.
      agent: false,
      signal,
      lookup: (_name, { all }, found) => {
        if (all === true) found(null, [{ ...target }]);
        else found(null, target.address, target.family);
      },
    });
    sent.on("error", reject);
    // As Judge0: any answer will do.
    sent.on("response", (response) => {
      response.destroy();
      resolve();
    });
    sent.end(body);
  });
}
