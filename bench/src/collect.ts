// Has a Node.js process collect its garbage, by the inspector that SIGUSR1 opens: what is resident then is what it
// holds, without what V8 has not yet found worth collecting, which comes and goes by tens of MiB.
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const openMsMax = 10_000;
const pollMs = 50;
const settleMs = 500;

/** A process that was started with `env`. */
export interface Collectable {
  readonly env: Readonly<Record<string, string>>;
  readonly collect: (pid: number) => Promise<void>;
}

/** Chooses a free port for the inspector. */
export async function collectable(): Promise<Collectable> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  server.close();
  const collect = async (pid: number) => {
    process.kill(pid, "SIGUSR1");
    const socket = new WebSocket(await debuggerUrl(`http://127.0.0.1:${port}/json/list`));
    await once(socket, "open");
    socket.send(JSON.stringify({ id: 1, method: "HeapProfiler.collectGarbage" }));
    await once(socket, "message");
    socket.close();
    await sleep(settleMs); // pages are given back by other threads
  };
  return { env: { NODE_OPTIONS: `--inspect-port=127.0.0.1:${port}` }, collect };
}

async function debuggerUrl(list: string): Promise<string> {
  const deadline = Date.now() + openMsMax;
  for (;;) {
    const text = await fetch(list).then(
      (response) => response.text(),
      () => "",
    );
    const url = /"webSocketDebuggerUrl":\s*"([^"]+)"/.exec(text)?.[1];
    if (url !== undefined) return url;
    if (Date.now() > deadline) throw new Error(`Cannot measure: no inspector at ${list}.`);
    await sleep(pollMs);
  }
}
