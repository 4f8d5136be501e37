// Names and numbers of signals, as this system has them.
import { constants } from "node:os";

const known = Object.entries(constants.signals);
// Of two names for one signal the first is the usual one: SIGABRT before SIGIOT.
const names = new Map(known.map(([name, number]): [number, string] => [number, name]).toReversed());
const numbers = new Map<string, number>(known);

/** The usual name of a signal; undefined when it has none. */
export function signalName(number: number): string | undefined {
  return names.get(number);
}

/** The number of a name; undefined when it is no signal of this system. */
export function signalNumber(name: string): number | undefined {
  return numbers.get(name);
}
