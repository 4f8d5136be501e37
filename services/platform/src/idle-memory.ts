// Gives memory back when nothing happens. V8 collects when it allocates, so what a start or a burst left behind stays
// until there is more to do: a third of what a platform at rest takes (200 MiB became 140). So a process that has been
// idle for a while and has grown is collected once, which stops it for some 40 ms.
import { type EventLoopUtilization, performance } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const lookMs = 2000;
/** Idle for so many looks on end: after a collection V8 takes some seconds of work to be as fast as before. */
const idleLooksMin = 5;
/** Busy for a larger part of the time between two looks, it is left alone. */
const idleMax = 0.05;
/** So much more than after the last collection. */
const growthMin = 1.2;

/** Begins to look; what is answered ends that. */
export function collectWhenIdle(): () => void {
  const collect = parseCollector(openCollector());
  if (collect === undefined) return () => {};
  let keptBytes = 0;
  let idleLooks = 0;
  let before: EventLoopUtilization = performance.eventLoopUtilization();
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    idleLooks = utilization > idleMax ? 0 : idleLooks + 1;
    if (idleLooks < idleLooksMin || process.memoryUsage.rss() < keptBytes * growthMin) return;
    collect();
    idleLooks = 0;
    keptBytes = process.memoryUsage.rss();
    before = performance.eventLoopUtilization();
  }, lookMs).unref();
  return () => clearInterval(timer);
}

/** V8's own function, which is global where Node is told so at its start; a new context has it also later. */
function openCollector(): unknown {
  setFlagsFromString("--expose-gc");
  const collector: unknown = runInNewContext("globalThis.gc");
  setFlagsFromString("--no-expose-gc");
  return collector;
}

function parseCollector(value: unknown): (() => void) | undefined {
  return typeof value === "function" ? (value as () => void) : undefined;
}
