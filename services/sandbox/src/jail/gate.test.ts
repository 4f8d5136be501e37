/** Interpreters that wait where they are about to read their program (../agent/gate.c): nothing tells it from them. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { fidelityOf, type Program, type Shown } from "../languages/fidelity-fixture.ts";
import { type Language, UnknownLanguageError, findLanguage } from "../languages/languages.ts";

const jails = fidelityOf();

/** A text alone is the file that is run, also beside what else there is. */
type Case = string | Program | (Omit<Program, "files"> & { readonly files: string });
type Cases = Readonly<Record<string, Case>>;

const ruby: Cases = {
  hello: 'puts "hello"',
  "an empty file": "",
  "a line end": "\n",
  "a file of one byte": "#",
  "a byte order mark": '\uFEFFp __ENCODING__, "é"\np DATA.read, DATA.pos\n__END__\nx',
  "names of itself":
    "p $0, __FILE__, __LINE__, __dir__, __method__, ARGV, $PROGRAM_NAME, $*, self, caller",
  "DATA, from its place and from the beginning": [
    "p DATA.pos, DATA.lineno, DATA.fileno, DATA.path, DATA.stat.size, $.",
    "p DATA.read, DATA.gets, DATA.rewind, DATA.read, DATA.closed?, DATA.close_on_exec?",
    "__END__\nmore\nlines\n",
  ].join("\n"),
  "DATA that is large": `p DATA.read.size\n__END__\n${"x".repeat(50_000)}`,
  "nothing but DATA": "__END__\nx",
  "a first line that begins a heredoc": "puts <<~A, <<~B\n  one\nA\n  two\nB\nputs __LINE__",
  "a first line that begins a comment": "=begin\nx\n=end\nputs __LINE__",
  "a first line that ends by CR": "\r\nputs 1\r\n",
  "a program of many reads": `x = 1\n${"# a comment\n".repeat(5000)}p __LINE__\nraise "end"`,
  "a byte that ends it": "p 1\n\u0004p 2",
  "BEGIN and END": "puts 1\nBEGIN { puts 0 }\nEND { puts 2 }",
  "a #! line": "#!/usr/bin/env ruby\n# frozen_string_literal: true\np __LINE__, ''.frozen?",
  "a #! line before a count of lines": "#!/usr/bin/env ruby\np $., DATA.lineno\n__END__\nx",
  "a #! line with switches": "#!/usr/bin/ruby -w\nunused = 1\np $VERBOSE",
  "a #! line that turns RubyGems off": "#!/usr/bin/ruby --disable-gems\np defined?(Gem)",
  "a #! line of another language": "#!/bin/sh\necho no",
  "a #! line that ends by CR": "#!/usr/bin/env ruby\r\nputs 1\r\n",
  "a #! and no more": "#!",
  "an encoding": "# -*- coding: us-ascii -*-\np __ENCODING__",
  "an encoding after a #! line": "#!/usr/bin/env ruby\n# coding: euc-jp\np __ENCODING__",
  "an encoding that there is not": "# coding: nosuch\np 1",
  "a syntax error in the first line": "puts (1",
  "a syntax error": "puts 1\nif true\n",
  "a warning of the parser": "p (1).abs\nif a = 1 then end",
  "an exception with frames":
    'def f\n  raise ArgumentError, "oops"\nend\nbegin\n  f\nrescue => e\n  raise "again"\nend',
  "an exception in the first line": "nil.foo(1)",
  "a name that is mistyped": "def present; end\npresnt",
  "a library that there is not": 'require "nosuch"',
  "exit with a code": "at_exit { puts 'bye' }\nexit 3",
  "exit!": "at_exit { puts 'bye' }\nexit! 4",
  abort: 'abort "no"',
  "an uncaught throw": "throw :x",
  "a signal": "Process.kill(:TERM, $$)\nsleep 5",
  "an interrupt": "Process.kill(:INT, $$)\nsleep 5",
  "a signal that is handled": "trap(:USR1) { puts 'here' }\nProcess.kill(:USR1, $$)\nsleep 0.01",
  "what is loaded": [
    "puts $LOADED_FEATURES, $LOAD_PATH, global_variables.sort.inspect, Object.constants.inspect",
    "p Gem.loaded_specs.keys, Thread.list.size, ObjectSpace.each_object(Class).count, $VERBOSE, $DEBUG",
    "p Encoding.default_external, Encoding.default_internal, ObjectSpace.each_object(File).map(&:path)",
  ].join("\n"),
  "what was not read before":
    "p TOPLEVEL_BINDING.local_variables, binding.local_variables, $;, $/, $,",
  "input by line and to its end": {
    files: "p $stdin.gets, $stdin.read, $stdin.stat.ftype, STDIN.fileno, $stdin.pos",
    stdin: "one\ntwo\nthree",
  },
  "input by ARGF": { files: "p gets, ARGF.read, $., ARGF.filename", stdin: "one\ntwo\n" },
  "no input": "p $stdin.read, $stdin.stat.ftype, $stdin.tty?, File.readlink('/proc/self/fd/0')",
  environment: {
    files: "p ENV.to_a, ENV['GIVEN'], ENV.fetch('LD_PRELOAD', 0), `env`",
    env: { GIVEN: "=a=\n", PATH: "/usr/bin:/bin" },
  },
  "a variable for RubyGems": { files: "p Gem.dir", env: { GEM_HOME: "/tmp/gems" } },
  "a variable for Ruby": { files: "p $VERBOSE, $LOAD_PATH.first", env: { RUBYOPT: "-w -I/tmp" } },
  "what the kernel shows": [
    'p File.binread("/proc/self/environ").sub(/\\0+\\z/, ""), File.binread("/proc/self/cmdline")',
    'p Dir.children("/proc/self/fd").map(&:to_i).sort, File.read("/proc/self/comm"), $$ > 1, Process.ppid',
    'p File.readlink("/proc/self/exe"), Process.getsid == $$, File.umask, Dir.pwd, IO.sysopen("/dev/null")',
  ].join("\n"),
  "a title of its own": '$0 = "title"\np $0, File.read("/proc/self/cmdline")[0, 5], ENV["HOME"]',
  "a fork": "pid = fork { puts $stdin.read; exit 5 }\nProcess.wait pid\np $?.exitstatus, $$ == pid",
  "another program": { files: 'exec "env"', env: { A: "1" } },
  threads:
    "q = Queue.new\nThread.new { q << 1 }\np q.pop, Thread.new { 2 }.value\nThread.report_on_exception = false\nThread.new { raise 'x' }.join",
  "a file beside it": {
    files: {
      "main.rb": 'require_relative "lib/a"\nrequire "b"\nload "c.rb"\nraise A',
      "lib/a.rb": "class A < StandardError; end\np __FILE__, caller",
      "b.rb": "p __FILE__, $LOADED_FEATURES.last(1)",
      "c.rb": "p __FILE__ == $0",
    },
  },
  "a file beside it that RubyGems would load": {
    files: { "main.rb": "p $mine", "error_highlight.rb": "$mine = 1" },
  },
  "gems of its own": {
    files: { "main.rb": "p Gem.user_dir, Gem.path", ".gem/x": "" },
  },
};

const php: Cases = {
  hello: '<?php echo "hello\\n";',
  "an empty file": "",
  "text alone": "one <?= 1 + 1 ?> two\n",
  "a byte order mark": "\uFEFF<?php echo 1;",
  "a #! line": "#!/usr/bin/php\n<?php echo __LINE__;",
  "names of itself": "<?php var_dump($argv, $argc, __FILE__, __DIR__, __LINE__, getcwd());",
  "what the server says": {
    files:
      '<?php unset($_SERVER["REQUEST_TIME"], $_SERVER["REQUEST_TIME_FLOAT"]); var_dump($_SERVER, $_ENV, getenv());',
    env: { GIVEN: "=a=\n", PATH: "/usr/bin:/bin" },
  },
  "when it began": '<?php var_dump(abs($_SERVER["REQUEST_TIME_FLOAT"] - microtime(true)) < 1);',
  settings:
    '<?php foreach (ini_get_all(null, false) as $k => $v) echo "$k=$v\n"; echo php_sapi_name(), php_ini_loaded_file();',
  "what is loaded":
    '<?php echo join(",", get_loaded_extensions()), count(get_defined_functions()["internal"]);',
  input: {
    files:
      '<?php var_dump(fgets(STDIN), stream_get_contents(STDIN), fstat(STDIN)["mode"] & 0170000);',
    stdin: "one\ntwo\nthree",
  },
  "no input":
    '<?php var_dump(fgets(STDIN), fstat(STDIN)["mode"] & 0170000, readlink("/proc/self/fd/0"));',
  "a warning, an error and a message":
    '<?php echo $x; error_log("log"); fwrite(STDERR, "e"); echo 1 / 0;',
  "an exception": '<?php function f() { throw new Exception("x"); } f();',
  "a syntax error": "<?php echo 1;\nif (",
  "exit with a code": '<?php register_shutdown_function(fn() => print("bye")); exit(7);',
  "a signal": "<?php posix_kill(getmypid(), 15); sleep(5);",
  "data after it":
    "<?php echo file_get_contents(__FILE__, false, null, __COMPILER_HALT_OFFSET__); __halt_compiler();data",
  "files beside it": {
    files: {
      "main.php":
        '<?php include "b.php"; require __DIR__ . "/c/d.php"; print_r(get_included_files());',
      "b.php": "<?php echo __FILE__, __LINE__;",
      "c/d.php": "<?php echo __FILE__;",
    },
  },
  "a variable for PHP": {
    files: "<?php var_dump(php_ini_scanned_files(), get_loaded_extensions());",
    env: { PHP_INI_SCAN_DIR: "/nowhere" },
  },
  "what the kernel shows": [
    '<?php var_dump(rtrim(file_get_contents("/proc/self/environ"), "\\0"), file_get_contents("/proc/self/cmdline"));',
    'var_dump(scandir("/proc/self/fd"), readlink("/proc/self/exe"), file_get_contents("/proc/self/comm"), umask());',
  ].join("\n"),
  "another program": '<?php putenv("A=2"); echo getenv("A"), shell_exec("env; ls /proc/self/fd");',
  "a fork":
    '<?php $pid = pcntl_fork(); if ($pid === 0) { echo "child"; exit(3); } pcntl_wait($s); var_dump($s);',
};

const r: Cases = {
  hello: 'cat("hello\\n")',
  "an empty file": "",
  "a file without a line end": "x <- 1; x",
  "values of its own accord":
    "1:3\ninvisible(2)\nx <- 5\ndata.frame(a = 1)\nfunction(x) x # comment",
  "a byte order mark": '\uFEFFcat("é\\n")',
  "a #! line": "#!/usr/bin/env Rscript\ncat(1)",
  "names of itself": "commandArgs(); sys.call(); interactive(); getOption('keep.source')",
  "a program of many reads": `x <- 1\n${"# a comment\n".repeat(5000)}stop("end")`,
  "a syntax error": "cat(1)\nx <- (\n",
  "a syntax error in the middle": "cat(1)\na b\ncat(2)",
  "an error with calls": "f <- function(x) g(x)\ng <- function(x) stop('oops')\nf(1)",
  "a warning": "warning('careful'); as.integer('x')\ncat(2)",
  "quit with a code": "reg.finalizer(globalenv(), function(e) cat('bye'), TRUE)\nquit(status = 3)",
  "a signal": "tools::pskill(Sys.getpid(), 15)\nSys.sleep(5)",
  "an interrupt": "tools::pskill(Sys.getpid(), 2)\nSys.sleep(5)",
  "what is loaded":
    "search(); loadedNamespaces(); ls(all.names = TRUE); .libPaths(); options()$defaultPackages",
  settings:
    "str(options()[c('digits', 'warn', 'repos', 'width', 'encoding', 'device')]); Sys.getlocale()",
  input: {
    files: "con <- file('stdin', 'r'); readLines(con, 1); readLines(con)",
    stdin: "one\ntwo\nthree",
  },
  "input from its own text":
    "x <- scan()\n1 2\n3\n\nsum(x)\nreadLines(stdin(), 1)\nnot code\ncat('on')",
  "no input": "readLines('stdin'); Sys.readlink('/proc/self/fd/0')",
  environment: {
    files:
      "x <- Sys.getenv(); x <- x[names(x) != 'R_SESSION_TMPDIR']; for (n in names(x)) cat(n, x[[n]], '\\n')",
    env: { GIVEN: "=a=\n", PATH: "/usr/bin:/bin", EDITOR: "mine" },
  },
  "a variable for R": {
    files: ".libPaths(); getOption('defaultPackages')",
    env: { R_DEFAULT_PACKAGES: "stats", R_LIBS: "/tmp" },
  },
  "what the kernel shows": [
    'text <- function(f) gsub("\\\\|+$", "", rawToChar(`[<-`(b <- readBin(f, "raw", 1e5), b == 0, as.raw(124))))',
    'text("/proc/self/environ"); text("/proc/self/cmdline")',
    "Sys.readlink(file.path('/proc/self/fd', c(0, 3:5))); Sys.readlink('/proc/self/exe'); Sys.umask()",
    "length(list.files('/proc/self/fd')); getwd(); nchar(tempdir()); dir.exists(tempdir())",
  ].join("\n"),
  "another program": "system('ls /proc/self/fd | head -4; env | grep -v TMPDIR | sort')",
  "a fork": "x <- parallel::mclapply(1:2, function(n) { cat(n); n * 2 }, mc.cores = 1); x",
  "a plot": "png('a.png', type = 'cairo'); plot(1); dev.off(); list.files(all.files = TRUE)",
  "random numbers of a seed": "set.seed(1); runif(3); sample(10)",
  "files beside it": {
    files: { "main.r": "source('b.r'); x", "b.r": "x <- 1; print(sys.nframe())" },
  },
  "a profile of its own": { files: { "main.r": "cat(mine)", ".Rprofile": "mine <- 1" } },
  "an environment of its own": {
    files: { "main.r": "cat(Sys.getenv('MINE'))", ".Renviron": "MINE=yes" },
  },
};

const found = (name: string, context: TestContext): Language | undefined => {
  try {
    return findLanguage(jails().languages, name);
  } catch (error) {
    if (!(error instanceof UnknownLanguageError)) throw error;
    context.skip(`${name} is not on this host`);
    return undefined;
  }
};

const programOf = ({ defaultFile }: Language, given: Case): string | Program => {
  if (typeof given === "string") return given;
  const { files, ...more } = given;
  return { ...more, files: typeof files === "string" ? { [defaultFile]: files } : files };
};

for (const [name, cases] of Object.entries({ ruby, php, r })) {
  describe(`${name} that waited shows a program what one that is executed does`, () => {
    for (const [what, program] of Object.entries(cases)) {
      it(what, async (context) => {
        const language = found(name, context);
        if (language === undefined) return;
        const given = programOf(language, program);
        const started = await jails().run(language, given, "started");
        assert.deepEqual(started, await jails().run(language, given, "executed"));
      });
    }
  });
}

const library = '"/proc/self/maps"';
const probes: Readonly<Record<string, string>> = {
  ruby: `print File.read(${library}).include?("gate.so"), " ", Random.rand(2**64), " ", "".hash`,
  r: `cat(any(grepl("gate.so", readLines(${library}))), sample(2^31 - 1, 1), basename(tempdir()))`,
  php: `<?php echo strpos(file_get_contents(${library}), "gate.so") ? "true" : "false", " ", mt_rand();`,
};

for (const [name, code] of Object.entries(probes)) {
  it(`${name} goes on from where it waited, with random numbers of its own`, async (context) => {
    const language = found(name, context);
    if (language === undefined) return;
    const rounds = [1, 2, 3].map(() => jails().run(language, code, "started"));
    const drawn = (await Promise.all(rounds)).map(({ stdout }: Shown) => stdout.split(" "));
    assert.deepEqual(
      drawn.map(([held]) => held?.toLowerCase()),
      ["true", "true", "true"],
    );
    for (const column of drawn[0]?.keys() ?? []) {
      if (column > 0)
        assert.equal(new Set(drawn.map((row) => row[column])).size, 3, String(column));
    }
  });

  it(`${name} is executed anew for a variable that it would have asked for at its start`, async (context) => {
    const language = found(name, context);
    if (language === undefined) return;
    for (const [variable, held] of [
      ["RUBYLIB", "ruby"],
      ["PHP_INI_SCAN_DIR", "php"],
      ["R_LIBS", "r"],
      ["OTHER", ""],
    ] as const) {
      const env = { [variable]: "/tmp" };
      const { stdout } = await jails().run(
        language,
        programOf(language, { files: code, env }),
        "started",
      );
      assert.equal(stdout.split(" ")[0]?.toLowerCase(), String(held !== name), variable);
    }
  });
}
