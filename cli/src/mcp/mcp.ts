// `syla mcp`: the Model Context Protocol on standard input and output, for clients that start their servers. Each line
// is one message, handed to the platform's `/mcp`, and what that answers is a line again; nothing else is written.
import { type Command, noPositionals, parseFlags } from "../command.ts";
import { interruptible } from "../interrupt.ts";
import { linesOf } from "../lines.ts";
import { McpBridge } from "./bridge.ts";
import { print } from "../output.ts";
import { connect } from "../platform.ts";

/** The `mcp` command. */
export const mcp: Command = {
  usage: "mcp",
  about: `Serves the platform's tools to a client of the Model Context Protocol that starts its servers as
commands. Ends with its standard input.`,
  flags: {},
  examples: [["syla mcp", "what such a client is configured to start"]],
  execute,
};

async function execute(args: string[]): Promise<number> {
  noPositionals(parseFlags({}, args).positionals);
  return interruptible(async ({ signal }) => {
    const { url, token, died, close } = await connect(signal);
    const over = AbortSignal.any([signal, died]);
    const stop = () => process.stdin.destroy();
    over.addEventListener("abort", stop, { once: true });
    const bridge = new McpBridge({ url, token, write: (line) => print(`${line}\n`) });
    // Who does not read the answers has no more questions.
    void bridge.failed.then(stop);
    try {
      await forward(bridge, over);
      if (died.aborted) throw died.reason;
      return 0;
    } finally {
      bridge.close();
      await close();
    }
  });
}

async function forward(bridge: McpBridge, over: AbortSignal): Promise<void> {
  const input: AsyncIterable<Uint8Array> = process.stdin;
  try {
    for await (const line of linesOf(input)) if (line.trim() !== "") bridge.take(line);
  } catch (thrown) {
    if (!over.aborted && !bridge.hasFailed) throw thrown;
  }
  over.throwIfAborted();
}
