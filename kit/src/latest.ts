// Keeps the last result of a function for as long as it is asked of the same object. It serves answers that are made
// from something which seldom changes and is replaced, never altered, when it does. It is frozen: by that whoever
// writes it knows that what was written of it once still holds.

/** The function, computing anew only when its argument is another object than the last time. */
export function latest<Argument extends object, Result extends object>(
  make: (argument: Argument) => Result,
): (argument: Argument) => Result {
  let last: { readonly argument: Argument; readonly result: Result } | undefined;
  return (argument) => {
    if (last?.argument !== argument) last = { argument, result: Object.freeze(make(argument)) };
    return last.result;
  };
}
