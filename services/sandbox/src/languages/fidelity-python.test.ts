// A Python program cannot tell whether its interpreter was started for it or forked: what the interpreter shows of
// itself and of the program, how it reads a main file, what it says of errors, and how it ends.
import { compare, differ, fidelityOf, type Programs } from "./fidelity-fixture.ts";
import { findLanguage, type Language } from "./languages.ts";

const fidelity = fidelityOf();
/** The system's where there is one: it starts faster than those with packages. */
const language = (languages: readonly Language[]): Language =>
  languages.find(({ name, binds }) => name === "python" && binds.length === 0) ??
  findLanguage(languages, "python");
const source = String.raw;

const itself: Programs = {
  "arguments, paths, and the names in __main__": {
    files: {
      "main.py": source`
import sys, os, __main__
print(sys.argv, sys.orig_argv, sys.path, sys.executable, sys.prefix)
print(__name__, __file__, __spec__, __builtins__, __loader__, __package__, __doc__, __cached__)
print(list(globals()), __main__, __main__.__dict__ is globals())
print(sys.flags, sys.warnoptions, sys._xoptions, os.getcwd(), dir())
print(sys.stdin, sys.stdout, sys.stderr, sys.stdout.line_buffering, sys.stdout.write_through)
print(sys.stdin.name, sys.stdin.mode, sys.stdin.encoding, sys.stdin.errors, sys.stderr.errors)
print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.dont_write_bytecode, sys.pycache_prefix)
print(sys.meta_path, sys.path_hooks, sorted(sys.path_importer_cache))
print(sys.gettrace(), sys.getprofile(), sys.excepthook, sys.unraisablehook, sys.displayhook)
print(sorted(vars(sys)), sorted(vars(__builtins__)))
print(copyright, exit, sys.get_asyncgen_hooks(), hasattr(sys, 'last_type'))
`,
    },
    args: ["a b", "", "é", "-x"],
    env: { FOO: "bär" },
  },
  "sys.modules has no more, in the same order": `import sys
for name, module in sys.modules.items(): print(name, getattr(module, '__file__', None))`,
  "no frame below the program's": `import sys, inspect, traceback
frame = sys._getframe()
print(frame.f_back, frame.f_code, frame.f_lineno, frame.f_lasti, frame.f_globals is frame.f_locals)
def f(): traceback.print_stack(); print(len(inspect.stack()), inspect.stack()[-1][1:4])
f()
print(len(sys._current_frames()), sys.getrefcount(sys.argv))`,
  "a main file in a folder, with what lies beside it": {
    files: {
      "sub/main.py": "import sys, other; print(sys.path, sys.argv, __file__, other.x)\n1/0\n",
      "sub/other.py": "x = 1",
    },
  },
  "a main file whose name begins with a dash": {
    files: { "-main.py": "import sys; print(sys.argv, sys.orig_argv, __file__)\n1/0\n" },
  },
  "a folder with a __main__": {
    files: {
      "app/__main__.py": "import sys, m; print(sys.path, sys.argv, __file__, __spec__)\n1/0",
      "app/m.py": "",
    },
    run: ["app"],
  },
  "an archive with a __main__": {
    files: {
      "app.pyz": Buffer.from(
        [
          "UEsDBBQAAAAAAAAAIQBsvOffXQAAAF0AAAALAAAAX19tYWluX18ucHlpbXBvcnQgc3lzCnByaW50KHN5cy5wYXRoWzBdLCBz",
          "eXMuYXJndiwgX19maWxlX18sIHN5cy5fZ2V0ZnJhbWUoKS5mX2JhY2suZl9jb2RlLmNvX25hbWUpCjEvMApQSwECFAMUAAAA",
          "AAAAACEAbLzn310AAABdAAAACwAAAAAAAAAAAAAAgAEAAAAAX19tYWluX18ucHlQSwUGAAAAAAEAAQA5AAAAhgAAAAAA",
        ].join(""),
        "base64",
      ),
    },
  },
  "modules beside it take the place of the library's": {
    files: {
      "main.py": `import ctypes, threading, atexit, gc, importlib.machinery, signal
print(ctypes.x, threading, atexit, gc, signal.x)`,
      ...{ "ctypes.py": "x = 1", "signal.py": "x = 2", "gc.py": "", "atexit.py": "" },
    },
  },
  "garbage collection is on, as set": `import gc
print(gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks, gc.garbage)
print([each['collections'] for each in gc.get_stats()] if 0 else '')`,
  "source by inspect, linecache and pdb": {
    files: {
      "main.py": `import inspect, linecache, __main__
def f():
  return 1 # c
class C: pass
print(inspect.getsource(f), linecache.getline(__file__, 2), inspect.getfile(f), inspect.getmodule(f))
print(inspect.getsource(__main__) == open(__file__).read(), inspect.getsource(C))
help(__main__)
import pdb; pdb.set_trace()
y = 2
print(y)`,
    },
    stdin: "w\nn\np y\nl\nc\n",
  },
  "pickles of its own classes, dataclasses, typing": `import pickle, dataclasses, typing
@dataclasses.dataclass
class P:
  x: int
  y: 'typing.List[int]'
p = pickle.loads(pickle.dumps(P(1, [2])))
print(p, P.__module__, typing.get_type_hints(P), pickle.dumps(p), __annotations__ if 0 else '')
class N(typing.NamedTuple): a: int = 1
print(N(), pickle.loads(pickle.dumps(N())), P, repr(p))`,
  "no bytecode beside a module": {
    files: { "main.py": "import os, m; print(sorted(os.listdir('.')), m.__cached__)", "m.py": "" },
  },
  "runpy, and python -m": {
    files: {
      "main.py": `import runpy, subprocess, sys
print(runpy.run_path('m.py', run_name='__main__')['x'])
runpy.run_module('m', run_name='__main__')
print(subprocess.run([sys.executable, '-m', 'm', 'a'], capture_output=True, text=True))`,
      "m.py": "import sys\nx = (__name__, sys.argv, __file__, __spec__, sys.path)\nprint(x)\n",
    },
  },
  "warnings, with their filters": {
    files: {
      "main.py": source`import warnings, m
print(warnings.filters)
warnings.warn('dep é', DeprecationWarning); warnings.warn('user'); warnings.warn('r', ResourceWarning)
x = 1 is 1
'\d'
m.f()
open('/dev/null')`,
      "m.py": `import warnings
def f(): warnings.warn('d', DeprecationWarning, stacklevel=2); warnings.warn('a', DeprecationWarning)`,
    },
  },
  "hooks of tracing, profiling and auditing": `import sys
seen = []
sys.settrace(lambda frame, event, arg: seen.append((frame.f_code.co_name, event)))
sys.addaudithook(lambda event, args: seen.append(event))
def f(): return 1
f()
import json.tool
sys.settrace(None)
print(seen)
sys.settrace(lambda frame, event, arg: print(frame.f_code.co_filename, event) if print else 0)`,
  "the recursion limit, and the stack below it": `import sys
def f(n):
  try: return f(n + 1)
  except RecursionError: return n
print(f(0))
depth = []
def g(n): depth.append(n); return max([n], key=lambda y: g(n + 1))
try: g(0)
except RecursionError as error: print(len(depth), error)
sys.setrecursionlimit(10**6)
def h(n): return 0 if n == 0 else h(n - 1) + 1
print(h(15000))`,
  "a recursion that overflows the stack": `import sys
sys.setrecursionlimit(10**9)
def f(x): return max(1, 2, key=lambda y: f(x + 1))
f(0)`,
};

const sources: Programs = {
  empty: "",
  "only a comment": "# x",
  "no newline at the end": "if 1:\n  print(2)\n  # c",
  "a byte-order mark": "\u{feff}print('bom é')\n1/0\n",
  "a byte-order mark and another cookie": "\u{feff}# -*- coding: latin-1 -*-\nprint(1)\n",
  "another encoding": Buffer.from(
    "# -*- coding: latin-1 -*-\nprint('\u{e9}', ascii('\u{e9}'))\n1/0\n",
    "latin1",
  ),
  "a cookie in the second line": "#!/usr/bin/python\n# vim: set fileencoding=utf8 :\n1/0 # é\n",
  "bytes that are no UTF-8": Buffer.from("print(1)\n# ok\nx = '\u{e9}abc'\n", "latin1"),
  "an unknown encoding": "# coding: nope\nprint(1)\n",
  "UTF-16": Buffer.from("print(1)\n", "utf16le"),
  "a null byte": "print(1)\nx=1\0\nprint(2)\n",
  "a null byte in a comment": "print(1)\n# \0 hi\nprint(2)\n",
  "line ends of three kinds": "print(1)\r\nx = '''a\r\nb'''\r\nprint(repr(x))\rprint(3)\n1/0",
  "form feeds": "\fprint(1)\n\f1/0\n",
  huge: `x = [\n${"1,\n".repeat(50_000)}]\nprint(len(x))\n1/0\n`,
  "a huge line": `x = '${"a".repeat(500_000)}'\nprint(len(x))\n1/0\n`,
  "too many brackets": `x = ${"(".repeat(300)}${")".repeat(300)}\n`,
  "too deep an expression": `x = ${"1+".repeat(5000)}1\nprint(x)\n`,
  "a docstring and annotations": "'''doc'''\nprint(__doc__)\nx: int = 1\nprint(__annotations__)\n",
  "future annotations": "from __future__ import annotations\nx: foo = 1\nprint(__annotations__)\n",
  ...Object.fromEntries(
    ["print(1)\nx = = 2\n", "def f():\nreturn 1\n", "if 1:\n\tx\n        y\n", "print 'hello'\n"]
      .concat(
        "x = (1,\n",
        "x = '''abc\n",
        "return 1\n",
        "x = 'é' é = 1\n",
        "await x\n",
        "f(**a, *b)",
      )
      .map((text) => [`a syntax error: ${JSON.stringify(text)}`, text]),
  ),
};

const errors: Programs = {
  "an error, with its place": "def f(x):\n  return 1/x\n\nf(0)\n",
  "a chain of errors": source`def f():
  try: {}['a']
  except KeyError as e: raise ValueError('é\ud800') from e
f()`,
  "a group of errors": "raise ExceptionGroup('many', [ValueError(1), TypeError(2)])\n",
  "an error with a note": "e = ValueError(1); e.add_note('hello'); raise e\n",
  "suggestions for a name": "import sys\nfoobar = 1\ntry: sys.exitt\nfinally: print(foobaz)\n",
  "a module that is not there": "import nonono\n",
  "a module that does not parse": {
    files: { "main.py": "import mod\n", "mod.py": "def g(:\n" },
  },
  "a module that fails": { files: { "main.py": "import mod\n", "mod.py": "x=1/0\n" } },
  "a main file that has changed": "open(__file__, 'w').write('changed\\n' * 5)\n1/0\n",
  "a main file that is gone": "import os\nos.remove(__file__)\ndef f(): 1/0\nf()",
  "another working directory": "import os\nos.chdir('/tmp')\n1/0",
  "a hook for errors": `import sys
sys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno, a[2].tb_next, a[2].tb_frame.f_back)
1/0`,
  "a hook that fails": "import sys\ndef h(*a): raise ValueError('hook')\nsys.excepthook = h\n1/0",
  "a hook that exits": "import sys\ndef h(*a): sys.exit(9)\nsys.excepthook = h\n1/0",
  "no hook": "import sys\ndel sys.excepthook\n1/0",
  "the last error, at the end": `import sys, atexit
atexit.register(lambda: print(sys.last_type, sys.last_value, sys.last_traceback.tb_lineno))
1/0`,
  "errors in threads and in __del__": `import threading
class A:
  def __del__(self): raise ValueError('in del')
def f(): 1/0
thread = threading.Thread(target=f); thread.start(); thread.join()
a = A()`,
  "KeyboardInterrupt, raised or by a signal": "raise KeyboardInterrupt\n",
  "one that is derived from it": "class K(KeyboardInterrupt): pass\nraise K('x')\n",
  "SIGINT while it waits": "import os, time\nos.kill(os.getpid(), 2)\ntime.sleep(1)\n",
  "SIGINT in asyncio": `import asyncio, os
async def main(): os.kill(os.getpid(), 2); await asyncio.sleep(1)
asyncio.run(main())`,
};

const exits = ["", "3", "'bye é'", "263", "-1", "2**40", "2**70", "(1, 2)", "True", "None", "1.5"]
  .concat("-2**63", "2**63", String.raw`'\ud800x'`, "['x']", "{}")
  .map((value) => [`sys.exit(${value})`, `import sys\nprint('out', end='')\nsys.exit(${value})`]);

const ends: Programs = {
  ...Object.fromEntries(exits),
  "exit() and quit()": "try: exit(4)\nfinally: quit()",
  "SystemExit with what cannot be shown": `import sys
class X:
  def __str__(self): raise ValueError('x')
sys.exit(X())`,
  "a SystemExit of its own": "class E(SystemExit): code = 5\nraise E(3)",
  "a SystemExit without a code": "e = SystemExit(3); del e.code\nraise e",
  "sys.exit without stderr": "import sys; sys.stderr = None; sys.exit('x')",
  "sys.exit with a stderr of its own": "import sys, io; sys.stderr = io.StringIO(); sys.exit('x')",
  "sys.exit with a closed stderr": "import sys\nsys.stderr.close()\nsys.exit('x')",
  "os._exit flushes nothing": `import os, sys
sys.stdout = open(1, 'w', closefd=False)
print('x'); os._exit(5)`,
  "os._exit and sys.exit in threads": `import threading, os, sys
for end in (sys.exit, os._exit):
  thread = threading.Thread(target=end, args=(7,)); thread.start(); thread.join(); print('main')`,
  "the order of threads, atexit and __del__": `import atexit, threading, time, sys
class A:
  def __del__(self): print('del', sys is not None)
a, b = A(), [A()]
b.append(b)
atexit.register(print, 'first registered')
atexit.register(lambda: print('second', threading.enumerate()))
threading.Thread(target=lambda: (time.sleep(.5), print('thread'))).start()
threading.Thread(target=lambda: time.sleep(9), daemon=True).start()
print('end of main')`,
  "an error of main, and a thread that goes on": `import threading, time
threading.Thread(target=lambda: (time.sleep(.05), print('thread'))).start()
1/0`,
  "errors and exits in atexit": `import atexit
atexit.register(lambda: 1/0); atexit.register(exit, 3); atexit.register(print, 'last')`,
  "the order in which modules end": `import sys, json, os, builtins, weakref
class A:
  def __init__(s, n): s.n = n
  def __del__(s): print('del', s.n, flush=True)
_a = A('_a'); b = A('b'); sys.x = A('sys'); os.x = A('os'); json.x = A('json'); builtins.x = A('b-ins')
def f(x=A('default')): pass
class B: y = A('class')
weakref.finalize(b, print, 'finalized')`,
  "no __main__ any more": `import sys
del sys.modules['__main__']
class A:
  def __del__(s): print('d')
a = A()`,
  "no modules any more": "import sys\nsys.modules.clear()\nprint(1)",
  "what is left in a circle of functions": `
class A:
  def __del__(self): print('del')
def f(x=A()): return f
def g(o=open(1, 'w', 1000, closefd=False)): o.write('written late')
g()`,
  "a generator that waits": `
def wait():
  try: yield
  finally: print('finally')
def f(x=wait()): next(x)
f()`,
  "who wants to hear of an end": `import weakref
class A: pass
def f(x=A(), heard=[]): heard.append(weakref.ref(x, lambda r: print('heard')))
f()`,
  "an object that a module of the library keeps": `import sys, os
class A:
  def __del__(self): print('del', sys.path_hooks is not None)
  def __call__(self, path): raise ImportError
sys.path_hooks.append(A())
class Meta(type):
  def __del__(cls): print('del', cls.__name__)
os.PathLike.register(Meta('B', (), {}))`,
  "functions and classes, and nothing that shows": `
import json, functools
@functools.cache
def f(n): return n and f(n - 1)
class A:
  x = property(lambda self: 1)
  @classmethod
  def make(cls): return cls()
a = A.make(); a.a = a; print(f(9), a.x)
class B: pass`,
  "garbage that was saved": `import gc
gc.set_debug(gc.DEBUG_SAVEALL)
a = []; a.append(a); del a
gc.collect(); gc.set_debug(0); print(len(gc.garbage))`,
  "who audits": `import sys
def hear(event, args):
  if event.startswith('gc.') or event.startswith('sys.'): print(event, flush=True)
sys.addaudithook(hear)
print('end of main')`,
  "text that is not written yet": `import sys
sys.stdout.reconfigure(write_through=False)
sys.stdout.write('no end of line'); sys.stderr.write('nor here')`,
  "a hook for what cannot be raised": `import sys
sys.unraisablehook = lambda u: print('unraisable', u.exc_type, u.object)
class A:
  def __del__(s): 1/0
a = A()`,
};

compare({
  title: "a forked Python shows of itself what an executed one does",
  language,
  fidelity,
  programs: itself,
});
compare({ title: "a forked Python reads a main file as", language, fidelity, programs: sources });
compare({ title: "a forked Python reports", language, fidelity, programs: errors });
compare({ title: "a forked Python ends by", language, fidelity, programs: ends });
differ(
  { title: "a forked Python can be told by", language, fidelity },
  {
    "gc: what it was forked with is frozen, so that a run neither looks at it nor copies it":
      "import gc; print(gc.get_freeze_count(), gc.get_count()[1:])",
    "/proc/self/maps, which lists the library by which it was": `
print('zygote' in open('/proc/self/maps').read())`,
  },
);
