// What tidy's rules share: a file as they see it, what they find, and where they make an exception and why.

/** A file of the repository. */
export interface SourceFile {
  /** Its path from the repository's folder, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** One breach of one rule. */
export interface Finding {
  readonly rule: string;
  readonly path: string;
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

interface Exception {
  readonly rule: string;
  readonly path: RegExp;
  /** Only findings whose message matches; all of them when left out. */
  readonly message?: RegExp;
  readonly reason: string;
}

/** Every exception to every rule. One that excuses nothing any more is reported, so the list cannot rot. */
const exceptions: readonly Exception[] = [
  {
    rule: "unfinished",
    path: /^tools\/tidy[\w-]*(?:\.test)?\.ts$/,
    reason: "the rule and its test must name what they look for",
  },
  {
    rule: "machine-path",
    path: /^(?:services\/(?:sandbox|session)\/|contract\/|docs\/|examples\/|tests\/|ARCHITECTURE\.md$)/,
    message: /: \/work$/,
    reason: "a program's working directory inside its jail, not a path of the host",
  },
  {
    rule: "machine-path",
    path: /^(?:services\/(?:sandbox|gateway\/src\/adapters\/e2b)\/|tests\/e2e\/e2b[-\w]*\.(?:test\.ts|py)$|docs\/)/,
    message: /: \/(?:work|home\/user)$/,
    reason:
      "where E2B's users are at home inside their sandboxes, which clients and tests must name",
  },
  {
    rule: "file-length",
    path: /^services\/sandbox\/src\/seccomp\/syscalls\.ts$/,
    reason: "a table with one row for each system call, looked up and not read through",
  },
];

/** The line, from 1, of an offset into a text. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1)) {
    line += 1;
  }
  return line;
}

/** The findings that no exception excuses, and a finding for every exception that excused none. */
export function withoutExceptions(
  findings: readonly Finding[],
  allowed: readonly Exception[] = exceptions,
): readonly Finding[] {
  const used = new Set<Exception>();
  const kept = findings.filter((finding) => {
    const excuse = allowed.find(
      ({ rule, path, message }) =>
        rule === finding.rule &&
        path.test(finding.path) &&
        message?.test(finding.message) !== false,
    );
    if (excuse !== undefined) used.add(excuse);
    return excuse === undefined;
  });
  const idle = allowed.filter((exception) => !used.has(exception));
  return [
    ...kept,
    ...idle.map(({ rule, path }) => ({
      rule: "idle-exception",
      path: "tools/tidy-rules.ts",
      line: 1,
      message: `the exception from ${rule} for ${path.source} excuses nothing any more`,
    })),
  ];
}
