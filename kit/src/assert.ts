// Assertions are for errors of the programmer: what can only be false when the code is wrong. What can go wrong in
// operation (a full disk, a bad request) is handled by an error of the catalogue instead.

/** The error of a broken assertion; no caller is expected to handle it. */
export class AssertionError extends Error {
  constructor(message: string) {
    super(`Assertion failed: ${message}`);
    this.name = "AssertionError";
  }
}

/** Throws an AssertionError unless the condition holds; `message` says what is false. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** The value, which the caller knows to be there; `what` names it in the error if it is not. */
export function present<T>(value: T | null | undefined, what: string): T {
  if (value === undefined || value === null) throw new AssertionError(`${what} is missing`);
  return value;
}

/** Marks a place that the types say cannot be reached, so that a new case of a union fails to compile. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable value ${JSON.stringify(value)}`);
}
