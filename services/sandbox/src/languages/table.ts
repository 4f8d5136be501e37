/**
 * The languages: names, endings, how each is found, and the commands that build and run a program.
 * Adding a language is adding an entry here, and a program under examples/languages.
 */

import { basename, dirname } from "node:path";

import { goRecipe } from "./go.ts";
import {
  findGo,
  findInterpreter,
  findJava,
  findNode,
  findProgram,
  findPython,
  findR,
  findRust,
  programs,
  sharedPythonLibrary,
} from "./find.ts";
import type { Find } from "./find.ts";
import { realPath } from "./host.ts";
import type { Host } from "./host.ts";
import { PROGRAM, PROGRAM_PATH } from "./language.ts";
import type { Recipe, RunOptions, Tool } from "./language.ts";
import { GATE_LIBRARY, HOLD_SCRIPT } from "../jail/root.ts";

const MEBIBYTE = 1024 * 1024;
/** Share of a run's memory that a garbage-collected heap may take; the rest is the tool's own. */
const HEAP_SHARE = 0.75;

export interface LanguageEntry {
  readonly name: string;
  /** Debian's packages that bring it. */
  readonly packages: string;
  readonly aliases: readonly string[];
  readonly extensions: readonly string[];
  /** Names that stand in a `#!` line. */
  readonly shebangs: readonly string[];
  readonly defaultFile: string;
  readonly fileFor?: (code: string) => string;
  readonly hello: string;
  readonly memoryBytesMin: number;
  readonly pidsMin: number;
  readonly note?: string;
  readonly find: Find;
  /** Null when something else that it needs, such as a linker, is missing. */
  readonly recipe: (tool: Tool, host: Host) => Recipe | null;
}

/** A file's name as a command's operand: one that begins with a dash is no option. */
export function operand(file: string | undefined): string {
  if (file === undefined) throw new RangeError("Cannot run no files");
  return file.startsWith("-") ? `./${file}` : file;
}

/** Runs the first file by an interpreter. */
function interpreted(binary: string, ...options: readonly string[]): Recipe["run"] {
  return (files, args) => [binary, ...options, operand(files[0]), ...args];
}

/**
 * The same, by an interpreter that waits where it is about to read its program. That saves what it takes to start:
 * Ruby 31 ms, PHP 9, R 125. Perl, Lua and Bash start in half a millisecond, which to start them ahead would not save.
 */
function gated(file: string, ...options: readonly string[]): LanguageEntry["recipe"] {
  return ({ binary }) => ({
    run: interpreted(binary, ...options),
    held: [file],
    preload: GATE_LIBRARY,
  });
}

/** The files to compile: those with such an ending, or the entry whatever it is called. */
export function sources(files: readonly string[], extensions: readonly string[]): string[] {
  const found = files.filter((file) => extensions.some((ending) => file.endsWith(`.${ending}`)));
  return (found.length === 0 ? files.slice(0, 1) : found).map(operand);
}

const runProgram: Recipe["run"] = (_, args) => [PROGRAM_PATH, ...args];

/** What becomes a zygote is told to run this, which agent/python.c knows it by; there is no such file. */
const ZYGOTE_ARGUMENT = "/zygote";

function pythonRecipe(tool: Tool): Recipe {
  return {
    env: {
      // A file is run once, so its bytecode would only cost disk; HOME is the program's own folder.
      PYTHONDONTWRITEBYTECODE: "1",
      PYTHONNOUSERSITE: "1",
      // Output streams as it is printed. Measured: 2.7 s more for a million lines of print().
      PYTHONUNBUFFERED: "1",
      ...(tool.binds.length > 0 && sharedPythonLibrary(tool.hostHome)
        ? { LD_LIBRARY_PATH: `${tool.home}/lib` }
        : {}),
    },
    // Not -I: the program's own folder must be on sys.path for it to import the files beside it.
    run: interpreted(tool.binary),
    zygote: [tool.binary, ZYGOTE_ARGUMENT],
  };
}

/** V8 takes its heap's size from the host's memory, which is not the jail's. */
function nodeHeap(options: RunOptions | undefined): string[] {
  if (options?.memoryBytes === undefined) return [];
  return [`--max-old-space-size=${Math.floor((options.memoryBytes * HEAP_SHARE) / MEBIBYTE)}`];
}

function nodeRecipe(heldFile: string, ...flags: readonly string[]): LanguageEntry["recipe"] {
  return (tool) => ({
    run: (files, args, options) => [
      tool.binary,
      ...nodeHeap(options),
      ...flags,
      operand(files[0]),
      ...args,
    ],
    held: [heldFile],
    heldEnv: { NODE_OPTIONS: `--require=${HOLD_SCRIPT}` },
    heldDirectory: "/",
  });
}

/** Types alone are stripped by default; enums, namespaces and parameter properties need more. */
const TRANSFORM_TYPES = "--experimental-transform-types";
const TYPE_FLAGS = process.allowedNodeEnvironmentFlags.has(TRANSFORM_TYPES)
  ? [TRANSFORM_TYPES, "--disable-warning=ExperimentalWarning"]
  : [];

const C_ENDINGS = ["c"];
const CPP_ENDINGS = ["cpp", "cc", "cxx", "c++", "C"];

/** gcc prefixes the command that links, so -lm comes last. */
function cRecipe(tool: Tool): Recipe {
  const options = ["-O2", "-std=gnu17", "-pipe", "-I.", "-o", PROGRAM];
  return {
    compile: (files) => [tool.binary, ...options, ...sources(files, C_ENDINGS), "-lm"],
    run: runProgram,
  };
}

function cppRecipe(tool: Tool): Recipe {
  // clang++ is a link to clang, which goes by its own name; the jail gets the file behind the link.
  const isClang = basename(tool.binary).startsWith("clang") && !tool.binary.endsWith("++");
  const driver = isClang ? ["--driver-mode=g++"] : [];
  const options = ["-O2", "-std=c++20", "-pipe", "-I.", "-o", PROGRAM];
  return {
    compile: (files) => [tool.binary, ...driver, ...options, ...sources(files, CPP_ENDINGS)],
    run: runProgram,
  };
}

/** rustc builds the entry, which names the others as modules; another compiler's driver links. */
function rustRecipe(tool: Tool, host: Host): Recipe | null {
  const [linker] = programs(host, ["cc", "gcc", "clang"]);
  if (linker === undefined) return null;
  const linking = ["-C", `linker=${realPath(linker)}`];
  const options = ["-C", "opt-level=2", "--edition=2021", "--crate-name=program", ...linking];
  return {
    compile: (files) => [tool.binary, ...options, "-o", PROGRAM, operand(files[0])],
    run: runProgram,
  };
}

/** com/example/Main.java holds com.example.Main. */
function javaClass(file: string): string {
  return file
    .replace(/^\.\//, "")
    .replace(/\.java$/, "")
    .replaceAll("/", ".");
}

/** javac wants a public class in a file of its name, and a package in a folder of its name. */
function javaFile(code: string): string {
  const bare = code.replace(/\/\*[^]*?\*\/|\/\/.*/g, "");
  const modifiers = "(?:(?:abstract|final|sealed|non-sealed|strictfp|static)\\s+)*";
  const declared = new RegExp(
    `^\\s*(?:@\\w+\\s+)*public\\s+${modifiers}(?:class|record|enum|interface)\\s+(\\w+)`,
    "m",
  );
  const folder = /^\s*package\s+([\w.]+)\s*;/m.exec(bare)?.[1]?.replaceAll(".", "/");
  const file = `${declared.exec(bare)?.[1] ?? "Main"}.java`;
  return folder === undefined ? file : `${folder}/${file}`;
}

/**
 * The serial collector starts fastest and needs one thread; javac lives too briefly for the second
 * compiler, while a program may compute for long and keeps it. Measured for one small class: javac
 * and java so 0.35 s, with the JVM's defaults 0.44 s; `java Main.java` 0.31 s, but a compile error
 * is then an exit code like any other.
 */
const JVM_FLAGS = ["-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto"];
const JAVAC_FLAGS = [...JVM_FLAGS, "-XX:TieredStopAtLevel=1"].map((flag) => `-J${flag}`);

function jvmHeap(options: RunOptions | undefined): string[] {
  if (options?.memoryBytes === undefined) return [];
  return [`-XX:MaxRAM=${options.memoryBytes}`, `-XX:MaxRAMPercentage=${HEAP_SHARE * 100}`];
}

function javaRecipe(tool: Tool): Recipe {
  const javac = `${dirname(tool.binary)}/javac`;
  const options = ["-proc:none", "-encoding", "UTF-8", "-cp", ".", "-d", PROGRAM];
  return {
    compile: (files) => [javac, ...JAVAC_FLAGS, ...options, ...sources(files, ["java"])],
    run: (files, args, limits) => [
      ...[tool.binary, ...JVM_FLAGS, ...jvmHeap(limits), "-Dfile.encoding=UTF-8"],
      ...["-Dstdout.encoding=UTF-8", "-Dstderr.encoding=UTF-8", "-cp", `${PROGRAM}:.`],
      ...[javaClass(operand(files[0])), ...args],
    ],
  };
}

const ASK_RUBY = ["-e", "puts RUBY_VERSION, RbConfig.ruby, RbConfig::CONFIG['prefix']"];
const ASK_PERL = ["-MConfig", "-e", 'printf "%vd\\n%s\\n%s\\n", $^V, $^X, $Config{prefix}'];
const ASK_PHP = [
  "-n",
  "-r",
  "echo PHP_VERSION, PHP_EOL, PHP_BINARY, PHP_EOL, dirname(PHP_BINDIR);",
];

/** What goes wrong is told on stderr, as other languages do; memory is the jail's business. */
const PHP_FLAGS = ["display_errors=stderr", "log_errors=0", "html_errors=0", "memory_limit=-1"];

/**
 * What Rscript comes to in the end: it starts a shell, whose script sets what the tool has as its environment.
 * Measured: 130 ms so, 152 by Rscript.
 */
function rRecipe({ binary, env = {} }: Tool): Recipe {
  return {
    env,
    run: (files, args) => [
      ...[binary, "--no-echo", "--no-restore", `--file=${files[0] ?? operand(undefined)}`],
      ...(args.length === 0 ? [] : ["--args", ...args]),
    ],
    held: ["main.r"],
    preload: GATE_LIBRARY,
  };
}

function minorNames(name: string, majors: Readonly<Record<number, number>>): string[] {
  return Object.entries(majors).flatMap(([major, minors]) =>
    Array.from({ length: minors + 1 }, (_, index) => `${name}${major}.${minors - index}`),
  );
}

export const LANGUAGES: readonly LanguageEntry[] = [
  {
    name: "python",
    packages: "python3",
    aliases: ["py", "python3"],
    extensions: ["py"],
    shebangs: ["python", "python3"],
    defaultFile: "main.py",
    hello: 'print("hello")\n',
    note: "Prints unbuffered; the variable PYTHONUNBUFFERED set to nothing makes it buffer.",
    memoryBytesMin: 24 * MEBIBYTE,
    pidsMin: 1,
    find: findPython,
    recipe: pythonRecipe,
  },
  {
    name: "javascript",
    packages: "nodejs",
    aliases: ["js", "node", "nodejs"],
    extensions: ["js", "mjs", "cjs"],
    shebangs: ["node", "nodejs"],
    defaultFile: "main.js",
    hello: 'console.log("hello");\n',
    memoryBytesMin: 96 * MEBIBYTE,
    pidsMin: 24,
    note: "ES modules and CommonJS; .js is whichever its syntax says.",
    find: findNode,
    recipe: nodeRecipe("main.js"),
  },
  {
    name: "typescript",
    packages: "nodejs",
    aliases: ["ts"],
    extensions: ["ts", "mts", "cts"],
    shebangs: [],
    defaultFile: "main.ts",
    hello: 'const word: string = "hello";\nconsole.log(word);\n',
    memoryBytesMin: 128 * MEBIBYTE,
    pidsMin: 24,
    note: "Types are removed, not checked; imports name their file with its ending.",
    find: findNode,
    recipe: nodeRecipe("main.ts", ...TYPE_FLAGS),
  },
  {
    name: "bash",
    packages: "bash",
    aliases: ["sh", "shell"],
    extensions: ["sh", "bash"],
    shebangs: ["bash", "sh"],
    defaultFile: "main.sh",
    hello: "echo hello\n",
    memoryBytesMin: 8 * MEBIBYTE,
    pidsMin: 4,
    find: findProgram(["bash"], ["-c", "echo $BASH_VERSION"]),
    recipe: (tool) => ({ run: interpreted(tool.binary) }),
  },
  {
    name: "ruby",
    packages: "ruby",
    aliases: ["rb"],
    extensions: ["rb"],
    shebangs: ["ruby"],
    defaultFile: "main.rb",
    hello: 'puts "hello"\n',
    memoryBytesMin: 32 * MEBIBYTE,
    pidsMin: 4,
    find: findInterpreter(["ruby", ...minorNames("ruby", { 4: 9, 3: 9 })], ASK_RUBY),
    recipe: gated("main.rb", "-I."),
  },
  {
    name: "perl",
    packages: "perl",
    aliases: ["pl"],
    extensions: ["pl", "pm"],
    shebangs: ["perl"],
    defaultFile: "main.pl",
    hello: 'print "hello\\n";\n',
    memoryBytesMin: 16 * MEBIBYTE,
    pidsMin: 1,
    find: findInterpreter(["perl"], ASK_PERL),
    recipe: (tool) => ({ run: interpreted(tool.binary, "-I.") }),
  },
  {
    name: "php",
    packages: "php-cli",
    aliases: [],
    extensions: ["php"],
    shebangs: ["php"],
    defaultFile: "main.php",
    hello: '<?php echo "hello\\n";\n',
    memoryBytesMin: 48 * MEBIBYTE,
    pidsMin: 1,
    find: findInterpreter(["php", ...minorNames("php", { 9: 9, 8: 9 })], ASK_PHP),
    recipe: gated("main.php", ...PHP_FLAGS.flatMap((flag) => ["-d", flag])),
  },
  {
    name: "lua",
    packages: "lua5.4",
    aliases: [],
    extensions: ["lua"],
    shebangs: ["lua", "luajit"],
    defaultFile: "main.lua",
    hello: 'print("hello")\n',
    memoryBytesMin: 8 * MEBIBYTE,
    pidsMin: 1,
    find: findProgram(["lua", "lua5.4", "lua5.5", "lua5.3"], ["-v"]),
    recipe: (tool) => ({ run: interpreted(tool.binary) }),
  },
  {
    name: "r",
    packages: "r-base-core",
    aliases: ["rscript"],
    extensions: ["r"],
    shebangs: ["Rscript"],
    defaultFile: "main.r",
    hello: 'cat("hello\\n")\n',
    memoryBytesMin: 96 * MEBIBYTE,
    pidsMin: 4,
    find: findR,
    recipe: rRecipe,
  },
  {
    name: "c",
    packages: "gcc libc6-dev",
    aliases: ["gcc"],
    extensions: C_ENDINGS,
    shebangs: [],
    defaultFile: "main.c",
    hello: '#include <stdio.h>\nint main(void) { puts("hello"); }\n',
    memoryBytesMin: 96 * MEBIBYTE,
    pidsMin: 6,
    note: "C17 with GNU extensions, optimised; every .c file is compiled, with -lm.",
    find: findProgram(["cc", "gcc", "clang"], ["--version"]),
    recipe: cRecipe,
  },
  {
    name: "cpp",
    packages: "g++",
    aliases: ["c++", "cxx", "g++"],
    extensions: CPP_ENDINGS,
    shebangs: [],
    defaultFile: "main.cpp",
    hello: '#include <iostream>\nint main() { std::cout << "hello\\n"; }\n',
    memoryBytesMin: 192 * MEBIBYTE,
    pidsMin: 6,
    note: "C++20, optimised; every C++ file is compiled.",
    find: findProgram(["c++", "g++", "clang++"], ["--version"]),
    recipe: cppRecipe,
  },
  {
    name: "go",
    packages: "golang-go",
    aliases: ["golang"],
    extensions: ["go"],
    shebangs: [],
    defaultFile: "main.go",
    hello: 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n',
    memoryBytesMin: 256 * MEBIBYTE,
    pidsMin: 64,
    note: "The standard library, without cgo; with a go.mod the whole module is built.",
    find: findGo,
    recipe: goRecipe,
  },
  {
    name: "rust",
    packages: "rustc",
    aliases: ["rs"],
    extensions: ["rs"],
    shebangs: [],
    defaultFile: "main.rs",
    hello: 'fn main() {\n    println!("hello");\n}\n',
    memoryBytesMin: 256 * MEBIBYTE,
    pidsMin: 32,
    note: "Edition 2021, the standard library; other files are modules of the first.",
    find: findRust,
    recipe: rustRecipe,
  },
  {
    name: "java",
    packages: "default-jdk-headless",
    aliases: ["jdk"],
    extensions: ["java"],
    shebangs: [],
    defaultFile: "Main.java",
    fileFor: javaFile,
    hello: [
      "public class Main {",
      '  public static void main(String[] args) { System.out.println("hello"); }',
      "}\n",
    ].join("\n"),
    memoryBytesMin: 192 * MEBIBYTE,
    pidsMin: 64,
    note: "The first file holds the main class, named as the file is.",
    find: findJava,
    recipe: javaRecipe,
  },
];
