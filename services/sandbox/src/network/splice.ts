// Two streams that are one connection: what comes out of one goes into the other, each way until its own end.
import type { Duplex } from "node:stream";

/** Joins them; resolves when both are closed. One that breaks takes the other with it. */
export function splice(a: Duplex, b: Duplex): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let open = 2;
  const join = (from: Duplex, to: Duplex) => {
    const onClose = () => {
      // After a good end, what it said last may still be on its way.
      if (!from.readableEnded || from.errored !== null) to.destroy();
      if ((open -= 1) === 0) resolve();
    };
    if (from.closed) return onClose();
    from.once("close", onClose);
    from.pipe(to);
  };
  join(a, b);
  join(b, a);
  return promise;
}
