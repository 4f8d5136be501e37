// A place in a sandbox, as a command line has it: SANDBOX:PATH.

/** A sandbox and a path in it. */
export interface SandboxPlace {
  readonly sandbox: string;
  readonly path: string;
}

/** Reads SANDBOX:PATH; undefined when it is none. */
export function parsePlace(text: string): SandboxPlace | undefined {
  const match = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(.*)$/is.exec(text);
  return match === null ? undefined : { sandbox: match[1] ?? "", path: match[2] ?? "" };
}
