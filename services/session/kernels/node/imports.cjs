// Cells are evaluated as scripts, where `import` and `export` mean nothing: static imports become awaited ones, and
// dynamic ones go to the function that knows where the session is. Names stay on their lines.
const wordShape = /[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*/uy;
const staticShape =
  /import\s*(?:(?<clause>[\p{ID_Continue}$_*{},\s]+?)\s*from\s*)?(?<quote>['"])(?<name>[^'"\n]*)\k<quote>(?:\s*with\s*\{[^}]*\})?\s*;?/uy;
const exportShape =
  /export\s+(?:default\s+(?!class\b|function\b|async\b)|default\s+|(?=const\b|let\b|var\b|function\b|class\b|async\b))/y;
// After these a slash begins a regular expression, where after other words it divides.
const operators = new Set([
  "return",
  "typeof",
  "case",
  "in",
  "of",
  "delete",
  "void",
  "throw",
  "new",
  "else",
  "do",
  "await",
  "yield",
]);

/** A cell's code as a script. */
function withoutImports(code) {
  if (!/\b(?:import|export)\b/.test(code)) return code;
  const out = [];
  const braces = []; // "{", or "`" for one that is in a template
  let at = 0;
  let kept = 0;
  let before = "";
  const replace = (end, text) => {
    out.push(code.slice(kept, at), text);
    kept = at = end;
  };
  while (at < code.length) {
    const skipped = skip(code, at, before);
    if (skipped !== undefined) {
      const comment = code[at] === "/" && (code[at + 1] === "/" || code[at + 1] === "*");
      if (!comment) before = "x";
      at = skipped;
      continue;
    }
    const character = code[at];
    if (character === "`" || (character === "}" && braces.at(-1) === "`")) {
      if (character === "}") braces.pop();
      const [end, opens] = templateEnd(code, at + 1);
      if (opens) braces.push("`");
      before = opens ? "{" : "x";
      at = end;
      continue;
    }
    wordShape.lastIndex = at;
    const word = wordShape.exec(code)?.[0];
    if (word !== undefined) {
      const member = before === ".";
      before = operators.has(word) ? "(" : "x";
      if (member || (word !== "import" && word !== "export")) at += word.length;
      else if (word === "export") stripExport(code, at, braces, replace) || (at += word.length);
      else rewriteImport(code, at, braces, replace) || (at += word.length);
      continue;
    }
    if (character === "{") braces.push("{");
    if (character === "}") braces.pop();
    if (!/\s/.test(character)) before = character;
    at += 1;
  }
  return [...out, code.slice(kept)].join("");
}

/** Where a string, comment or regular expression that begins here ends. */
function skip(code, at, before) {
  const character = code[at];
  if (character === '"' || character === "'") return quoteEnd(code, at + 1, character);
  if (character !== "/") return undefined;
  if (code[at + 1] === "/") return lineEnd(code, at);
  if (code[at + 1] === "*") {
    const end = code.indexOf("*/", at + 2);
    return end === -1 ? code.length : end + 2;
  }
  if (before !== "" && !"(,=:[!&|?{};+-*%<>~^".includes(before)) return undefined;
  let inClass = false;
  for (let i = at + 1; i < code.length && code[i] !== "\n"; i += 1) {
    if (code[i] === "\\") i += 1;
    else if (code[i] === "[") inClass = true;
    else if (code[i] === "]") inClass = false;
    else if (code[i] === "/" && !inClass) return i + 1;
  }
  return undefined;
}

function lineEnd(code, at) {
  const end = code.indexOf("\n", at);
  return end === -1 ? code.length : end;
}

function quoteEnd(code, from, quote) {
  for (let i = from; i < code.length && code[i] !== "\n"; i += 1) {
    if (code[i] === "\\") i += 1;
    else if (code[i] === quote) return i + 1;
  }
  return code.length;
}

/** Where a template, or its part before `${`, ends, and whether it was that. */
function templateEnd(code, from) {
  for (let i = from; i < code.length; i += 1) {
    if (code[i] === "\\") i += 1;
    else if (code[i] === "`") return [i + 1, false];
    else if (code[i] === "$" && code[i + 1] === "{") return [i + 2, true];
  }
  return [code.length, false];
}

function rewriteImport(code, at, braces, replace) {
  const next = /\s*(.?)/sy;
  next.lastIndex = at + "import".length;
  const character = next.exec(code)?.[1];
  if (character === "(" || character === ".") {
    replace(at + "import".length, "$import");
    return true;
  }
  if (braces.length > 0) return false;
  staticShape.lastIndex = at;
  const match = staticShape.exec(code);
  if (match === null) return false;
  const { clause, name } = match.groups;
  const lines = "\n".repeat(match[0].split("\n").length - 1);
  const module = `await $import(${JSON.stringify(name)});`;
  const targets = clause === undefined ? [""] : patternsOf(clause).map((one) => `const ${one} = `);
  replace(at + match[0].length, targets.map((target) => target + module).join(" ") + lines);
  return true;
}

/** `a, { b as c }` or `a, * as b` as what is taken from a module. */
function patternsOf(clause) {
  const flat = clause.replaceAll(/\s+/g, " ").trim();
  const [, first, , whole, list] =
    /^([^{*]*?)(, ?|$|(?=[{*]))(?:\* as (\S+)|\{(.*)\})?$/.exec(flat) ?? [];
  const named = (list ?? "").split(",").map((one) => one.trim().replace(/ as /, ": "));
  const names = [...(first ? [`default: ${first.trim()}`] : []), ...named.filter(Boolean)];
  return [
    ...(whole ? [whole] : []),
    ...(names.length > 0 || !whole ? [`{ ${names.join(", ")} }`] : []),
  ];
}

function stripExport(code, at, braces, replace) {
  if (braces.length > 0) return false;
  exportShape.lastIndex = at;
  const match = exportShape.exec(code);
  if (match === null) return false;
  replace(at + match[0].length, "\n".repeat(match[0].split("\n").length - 1));
  return true;
}
