// A Python program cannot tell by its process whether that was executed or forked: streams, signals, children,
// environment, limits, descriptors. Nor can one of another version of Python, of which the host may have some.
import assert from "node:assert/strict";
import { it } from "node:test";
import { defaultsOf } from "@syla/kit/config";
import { createLog } from "@syla/kit/log";
import { createMetrics } from "@syla/kit/metrics";
import { sandboxSettings } from "../config.ts";
import { compare, differ, fidelityOf, type Programs } from "./fidelity-fixture.ts";
import { MIB, runIn } from "../jail/fixture.ts";
import { Jails } from "../jail/jails.ts";
import { findLanguage, type Language } from "./languages.ts";

const fidelity = fidelityOf();
/** The system's where there is one: it starts faster than those with packages. */
const language = (languages: readonly Language[]): Language =>
  languages.find(({ name, binds }) => name === "python" && binds.length === 0) ??
  findLanguage(languages, "python");
const main = (text: string) => ({ "main.py": text });

const streams: Programs = {
  "output and errors in their order": `import sys, os
for word in 'abc': sys.stderr.write(word); sys.stdout.write(word)
sys.stdout.buffer.write(b'\\xff\\n'); print('é😀', '\\x00', file=sys.stderr)
print('\\ud800')`,
  "a buffer that is flushed at the end": `import sys, os
sys.stdout = open(1, 'w', closefd=False)
print('buffered'); os.write(1, b'raw\\n')`,
  "a closed stdout": "import sys\nprint('a'); sys.stdout.close(); print('x')\n",
  "a closed stdout, noticed at the end": "import sys\nsys.stdout.close()\n",
  "a closed descriptor 1": "import os\nos.close(1)\nprint('x')\n",
  "no stdout": "import sys\nsys.stdout = None\nprint('x')\n",
  "a closed descriptor 2": "import os\nos.close(2)\n1/0\n",
  "a stdout that fails at the end": `import sys
class W:
  def write(s, x): raise OSError('w')
  def flush(s): raise OSError('f')
sys.stdout = W()`,
  "a stderr that fails": `import sys
class W:
  def write(s, x): raise OSError('w')
sys.stderr = W()
1/0`,
  "a full device": "import sys\nsys.stdout = open('/dev/full', 'w')\nprint('x')\n",
  "input()": {
    files: main(
      "print(input('p> '))\nprint(input())\ntry: input()\nexcept EOFError as e: print(e)\n",
    ),
    stdin: "a\nbé\n",
  },
  "input() without input": "input()\n",
  "input() with readline": { files: main("import readline\nprint(input('x'))"), stdin: "abc" },
  "sys.stdin by line, by byte, to the end": {
    files: main(
      "import sys\nprint(sys.stdin.readline(), sys.stdin.buffer.read(), sys.stdin.read())",
    ),
    stdin: "1\n2\n3",
  },
  "sys.stdin as lines, and once more": {
    files: main(`import sys
for line in sys.stdin: print(repr(line))
print(sys.stdin.tell(), sys.stdin.fileno(), sys.stdin.isatty())
sys.stdin.seek(0); print(sys.stdin.read())`),
    stdin: "1\r\n2\r3",
  },
  "descriptor 0, and /dev/stdin": {
    files: main(`import os
print(os.read(0, 3), open(0, closefd=False).read(), os.lseek(0, 0, 1))
print(open('/dev/stdin').read(), oct(os.fstat(0).st_mode), os.readlink('/proc/self/fd/0'))`),
    stdin: "abcdef",
  },
  "input that is no text": {
    files: main("import sys\nsys.stdin.read()"),
    stdin: Uint8Array.of(255, 254),
  },
  "input that a child takes": {
    files: main("import subprocess, sys\nsubprocess.run(['cat'])\nprint(repr(sys.stdin.read()))"),
    stdin: "for the child",
  },
  fileinput: {
    files: main(
      "import fileinput\nfor x in fileinput.input(): print(repr(x), fileinput.filename())",
    ),
    stdin: "a\nb",
  },
  "no input": `import sys, os
print(repr(sys.stdin.read()), sys.stdin.buffer.raw, sys.stdin.seekable(), oct(os.fstat(0).st_mode))
print(os.readlink('/proc/self/fd/0'), open('/proc/self/fdinfo/0').read().split()[:4])`,
};

const processes: Programs = {
  "signals and their handlers": `import signal, subprocess
for each in sorted(signal.valid_signals()): print(each, signal.getsignal(each))
print(signal.pthread_sigmask(0, []), signal.set_wakeup_fd(-1), signal.getitimer(0))
print([line for line in open('/proc/self/status') if line.startswith(('Sig', 'Shd'))])
print(subprocess.run(['grep', 'Sig', '/proc/self/status'], capture_output=True, text=True).stdout)`,
  "SIGINT, caught": `import os, time
try: os.kill(os.getpid(), 2); time.sleep(1)
except KeyboardInterrupt: print('caught')`,
  SIGTERM: "import os\nos.kill(os.getpid(), 15)",
  SIGALRM: "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, .01)\ntime.sleep(3)\n",
  "SIGPIPE, which is an error": "import os\nr, w = os.pipe(); os.close(r)\nos.write(w, b'x')",
  "a fault in native code": "import ctypes\nprint('x')\nctypes.string_at(0)",
  "a fault, with faulthandler":
    "import faulthandler\nfaulthandler.enable()\nfaulthandler._sigsegv()",
  "abort, with faulthandler": "import faulthandler\nfaulthandler.enable()\nfaulthandler._sigabrt()",
  "os.abort": "import os\nos.abort()",
  "children that are forked": `import os, atexit
atexit.register(print, 'at exit', flush=True)
pid = os.fork()
if pid == 0: raise SystemExit(3)
print(os.waitpid(pid, 0)[1], os.system('exit 4'))`,
  "the interpreter, executed": `import subprocess, sys
for args in (['-c', 'import sys; print(sys.argv, sys.flags, sys.path)'], ['x.py'], ['-m', 'nope']):
  print(subprocess.run([sys.executable, *args], capture_output=True, text=True))
print(subprocess.run(['python3', '-V'], capture_output=True, text=True))`,
  "multiprocessing, of each kind": `import multiprocessing, sys
def f(x): return x * x, __name__, sys.argv, __file__
if __name__ == '__main__':
  print(multiprocessing.current_process(), multiprocessing.parent_process())
  for kind in ('fork', 'spawn', 'forkserver'):
    with multiprocessing.get_context(kind).Pool(1) as pool: print(kind, pool.map(f, range(2)))`,
  "multiprocessing without a guard": `import multiprocessing
process = multiprocessing.get_context('spawn').Process(target=print)
process.start(); process.join(); print(process.exitcode)`,
  "concurrent.futures": `import concurrent.futures as futures
def f(x): return x * x
if __name__ == '__main__':
  for kind in (futures.ThreadPoolExecutor, futures.ProcessPoolExecutor):
    with kind(2) as pool: print(list(pool.map(f, range(4))))`,
  asyncio: `import asyncio
async def main():
  child = await asyncio.create_subprocess_exec('echo', 'hi', stdout=-1)
  print(await child.communicate(), asyncio.get_running_loop())
  task = asyncio.create_task(asyncio.sleep(9))
asyncio.run(main(), debug=True)
async def never(): pass
never()`,
  threads: `import threading, os
main = threading.main_thread()
print(main, main.native_id == os.getpid() == threading.get_native_id(), threading.active_count())
print(main is threading.current_thread(), main.ident == threading.get_ident())
print(len(os.listdir('/proc/self/task')))`,
  environment: {
    files: main(`import os, posix, ctypes, subprocess
print(dict(os.environ), posix.environ)
library = ctypes.CDLL(None); library.getenv.restype = ctypes.c_char_p
print(library.getenv(b'X1'), library.getenv(b'LD_PRELOAD'))
os.environ['N'] = '1'; os.putenv('M', '2'); del os.environ['X1']; os.unsetenv('HOME')
print(library.getenv(b'N'))
os.system('env | sort')`),
    env: { X1: "a=b=c", Ü: "ü", EMPTY: "" },
  },
  "locale and encodings": `import locale, sys, time, os
print(locale.getlocale(), locale.getpreferredencoding(), locale.setlocale(0), sys.flags.utf8_mode)
print(sys.getfilesystemencoding(), time.tzname, time.localtime(0), os.path.expanduser('~'))`,
  "the process, as /proc has it": `import os
print(open('/proc/self/cmdline', 'rb').read(), open('/proc/self/comm').read())
print([os.readlink('/proc/self/' + name) for name in ('exe', 'cwd', 'root')])
print(open('/proc/self/limits').read(), open('/proc/self/oom_score_adj').read())
counted = ('Vm', 'Rss', 'volun', 'nonvol', 'Hugetl')
print([line for line in open('/proc/self/status') if not line.startswith(counted)])`,
  "ids, groups, session, priority, umask": `import os
print(os.getpid(), os.getppid(), os.getpgid(0), os.getsid(0), os.getuid(), os.getgid(), os.getgroups())
print(oct(os.umask(0)), os.getcwd(), os.getpriority(0, 0), os.sched_getscheduler(0))`,
  descriptors: `import os
for name in sorted(os.listdir('/proc/self/fd')):
  try: print(name, os.readlink('/proc/self/fd/' + name).split(':')[0], os.get_inheritable(int(name)))
  except OSError as error: print(name, error)
print(os.get_blocking(0), os.get_blocking(1), os.get_blocking(2), os.open('/dev/null', 0))`,
  "what it has used, which begins near nothing": `import resource, time, os
own, children = resource.getrusage(0), resource.getrusage(-1)
print(children.ru_utime, children.ru_maxrss, os.times()[2:4], time.process_time() < .5)
started = int(open('/proc/self/stat').read().split()[21]) / os.sysconf('SC_CLK_TCK')
print(float(open('/proc/uptime').read().split()[0]) - started < 2)`,
  "what prctl tells": `import ctypes
library = ctypes.CDLL(None); signal = ctypes.c_int()
print([library.prctl(n, 0, 0, 0, 0) for n in (3, 7, 39, 27, 30, 37)])
library.prctl(2, ctypes.byref(signal)); print(signal.value)`,
  "hashes of what is no string": "print(hash(''), hash(b''), hash(1), hash((1, 2)), hash(1.5))",
};

const everyVersion: Programs = {
  "what it shows of itself": {
    files: main(`import sys, __main__
print(sys.argv, getattr(sys, 'orig_argv', 0), sys.path, list(globals()), __file__, sys.flags)
print(list(sys.modules), sorted(sys.path_importer_cache), sorted(vars(sys)), sys._getframe().f_back)`),
    args: ["a", "é"],
  },
  "an error": "def f(): return 1/0\nf()",
  "a syntax error": "x = = 1",
  "sys.exit": "import sys; sys.exit('bye')",
  KeyboardInterrupt: "raise KeyboardInterrupt",
  "the order of its end": `import atexit, threading, time, json
class A:
  def __del__(self): print('del')
a = A(); json.x = A()
atexit.register(print, 'at exit')
threading.Thread(target=lambda: (time.sleep(.02), print('thread'))).start()`,
  "the depth of a recursion": `def f(n):
  try: return f(n + 1)
  except RecursionError: return n
print(f(0))`,
};

compare({
  title: "a forked Python has the streams of an executed one",
  language,
  fidelity,
  programs: streams,
});
compare({
  title: "a forked Python is the process that an executed one is",
  language,
  fidelity,
  programs: processes,
});
differ(
  { title: "a forked process can be told by", language, fidelity },
  {
    "/proc/self/cmdline: it has as much room as the interpreter and main.py take": {
      files: main("print(open('/proc/self/cmdline').read())"),
      args: ["argument"],
    },
    "/proc/self/environ: it has what the interpreter was started with, cleared":
      "print(open('/proc/self/environ').read().strip('\\0') == '')",
  },
);

it("a Python that cannot be forked is executed", async () => {
  const { languages, parts, run } = fidelity();
  const python = language(languages);
  const config = { ...defaultsOf(sandboxSettings), poolWarm: 1 };
  const log = createLog({ level: "silent", name: "test" });
  const jails = new Jails({
    ...parts,
    config,
    log,
    metrics: createMetrics({ processMetrics: false }),
  });
  const limits = { memoryBytes: 64 * MIB, pids: 16 };
  const unknown = {
    ...python,
    version: "0",
    zygote: [...(python.zygote ?? []).slice(0, 1), "/elsewhere"],
  };
  for (const [each, way] of [
    [unknown, "execute"],
    [python, "fork"],
  ] as const) {
    const request = { language: each, limits, diskBytes: MIB };
    await jails.warm(request);
    const lease = jails.take(request);
    assert.equal(lease.slot.start, way);
    lease.slot.jail.writeFile({ path: "main.py", content: Buffer.from("print(6 * 7)") });
    const { start } = lease.slot;
    const { stdout } = await runIn(lease.slot.jail, python.run(["main.py"], []), { start });
    assert.equal(stdout, "42\n");
    await lease.release(false);
  }
  await jails.close();
  await assert.rejects(run(unknown, "print(1)", "started"), /A zygote ended/);
});

it("each version of Python on this host is the same forked as executed", async () => {
  const { run, languages } = fidelity();
  for (const each of languages.filter(({ name }) => name === "python")) {
    for (const [name, program] of Object.entries(everyVersion)) {
      const executed = await run(each, program, "executed");
      const started = await run(each, program, "started");
      assert.deepEqual(started, executed, `Python ${each.version}: ${name}`);
    }
  }
});

it("hashes of strings differ from run to run, and so does what is drawn at random", async () => {
  const { run, languages } = fidelity();
  const program = `import random, uuid, tempfile, ssl, secrets
print(hash('new ' + 'here'), random.random(), uuid.uuid4(), uuid.uuid1(), secrets.token_hex())
print(next(tempfile._get_candidate_names()), ssl.RAND_bytes(8).hex())`;
  const shown = [1, 2, 3].map(() => run(language(languages), program, "started"));
  const words = (await Promise.all(shown)).map(({ stdout }) => stdout.split(/\s/));
  for (const [column, word] of (words[0] ?? []).entries()) {
    if (word !== "") assert.equal(new Set(words.map((each) => each[column])).size, 3, word);
  }
});
