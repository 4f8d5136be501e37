// The rules that hold for TypeScript as a language: what may not be written, how long a function may be, and that what
// a library exports is documented. They read the syntax tree, so a word in a comment or a string is no breach.
import { type ParseResult, parseSync, Visitor, type VisitorObject } from "oxc-parser";
import { type Finding, lineAt, type SourceFile } from "./tidy-rules.ts";

const functionLinesMax = 70;

/** Where every export is documented: what others build on. */
const documentedFolders = /^(?:kit|sdks|cli)\//;

/** Calls whose function holds tests and is not one. */
const testGroups = new Set(["describe", "suite"]);

interface Span {
  readonly start: number;
  readonly end: number;
}

type Report = (rule: string, node: Span, message: string) => void;

/** Checks one TypeScript file. */
export function checkCode(file: SourceFile): readonly Finding[] {
  const { path, text } = file;
  const found: Finding[] = [];
  const report: Report = (rule, node, message) => {
    found.push({ rule, path, line: lineAt(text, node.start), message });
  };
  const parsed = parseSync(path, text);
  for (const error of parsed.errors) {
    report("syntax", { start: error.labels[0]?.start ?? 0, end: 0 }, error.message);
  }
  new Visitor({
    ...forbiddenSyntax(report),
    ...functionRules(text, report),
  }).visit(parsed.program);
  if (documentedFolders.test(path) && !path.endsWith(".test.ts")) {
    checkDocumented(parsed, text, report);
  }
  return found;
}

function forbiddenSyntax(report: Report): VisitorObject {
  return {
    TSAnyKeyword: (node) => report("any", node, "`any` turns the compiler off"),
    TSNonNullExpression: (node) => report("non-null", node, "`!` asserts what nobody checked"),
    TSEnumDeclaration: (node) => report("enum", node, "an enum is code that types cannot strip"),
    ExportDefaultDeclaration: (node) =>
      report("default-export", node, "a default export has no name to look for"),
    ExportAllDeclaration: (node) =>
      report("export-all", node, "`export *` hides what a module offers"),
  };
}

/** Rules that need to know which function a node is in: its length, and that only parse functions assert a type. */
function functionRules(text: string, report: Report): VisitorObject {
  const names = new Map<Span, string>();
  const groups = new Set<Span>();
  const open: string[] = [];
  const enter = (node: Span) => {
    open.push(names.get(node) ?? "");
    const lines = lineAt(text, node.end) - lineAt(text, node.start) + 1;
    if (lines <= functionLinesMax || groups.has(node)) return;
    report(
      "function-length",
      node,
      `${lines} lines; no function has more than ${functionLinesMax}`,
    );
  };
  const leave = () => {
    open.pop();
  };
  const assertion = (node: Span) => {
    if (open.some((name) => /^#?parse/.test(name))) return;
    report("type-assertion", node, "`as` outside a parse function asserts what nobody checked");
  };
  return {
    VariableDeclarator: ({ id, init }) => {
      if (id.type === "Identifier" && init !== null) names.set(init, id.name);
    },
    Property: ({ key, value }) => {
      if (key.type === "Identifier") names.set(value, key.name);
    },
    MethodDefinition: ({ key, value }) => {
      if (key.type === "Identifier" || key.type === "PrivateIdentifier") names.set(value, key.name);
    },
    CallExpression: ({ callee, arguments: given }) => {
      if (callee.type !== "Identifier" || !testGroups.has(callee.name)) return;
      for (const argument of given) groups.add(argument);
    },
    FunctionDeclaration: (node) => {
      if (node.id !== null) names.set(node, node.id.name);
      enter(node);
    },
    "FunctionDeclaration:exit": leave,
    FunctionExpression: enter,
    "FunctionExpression:exit": leave,
    ArrowFunctionExpression: enter,
    "ArrowFunctionExpression:exit": leave,
    TSTypeAssertion: assertion,
    TSAsExpression: (node) => {
      const type = node.typeAnnotation;
      const isConst =
        type.type === "TSTypeReference" &&
        type.typeName.type === "Identifier" &&
        type.typeName.name === "const";
      if (!isConst) assertion(node);
    },
  };
}

function checkDocumented(parsed: ParseResult, text: string, report: Report): void {
  const docs = parsed.comments.filter(
    ({ type, value }) => type === "Block" && value.startsWith("*"),
  );
  for (const node of parsed.program.body) {
    if (node.type !== "ExportNamedDeclaration" || node.declaration === null) continue;
    const documented = docs.some(
      ({ end }) => end <= node.start && text.slice(end, node.start).trim() === "",
    );
    const name = nameOf(text, node);
    // What the options of a function are for is said where the function is.
    if (documented || name.endsWith("Options")) continue;
    report("undocumented", node, `nothing says what ${name} is`);
  }
}

function nameOf(text: string, node: Span): string {
  const head = text.slice(node.start, node.end).split("\n", 1)[0] ?? "";
  return /(?:function\*?|const|let|class|interface|type)\s+(\w+)/.exec(head)?.[1] ?? head;
}
