// Streams that may be silent for long: what stands between their client and them would take that for their end.

/** What is sent in a silence, and after how long of it. */
export interface Silence<T> {
  readonly keepalive: T;
  readonly keepaliveMs: number;
}

/** What an iterator gives, of which the first has been asked for, and something else while it gives nothing. */
export async function* keptAlive<T>(
  iterator: AsyncIterator<T>,
  first: Promise<IteratorResult<T>>,
  { keepalive, keepaliveMs }: Silence<T>,
): AsyncGenerator<T> {
  let next = first;
  try {
    for (;;) {
      const step = await within(next, keepaliveMs);
      if (step === undefined) {
        yield keepalive;
      } else if (step.done === true) {
        return;
      } else {
        yield step.value;
        next = iterator.next();
      }
    }
  } finally {
    // Not awaited: what is slow to end must not hold its reader.
    void iterator.return?.()?.catch(() => undefined);
  }
}

/** What a promise resolves with; undefined when that takes longer. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
