"""Keeps a Python interpreter's state between cells: told what to run on what was its standard input, it says what came
of it on what was its descriptor 3, a JSON object in each line. What it defines is in a namespace of its own, and
nothing of it is in a cell's. The files of this folder whose names begin as this one's are one program, this one
first; PARTS is the text of the others, which are run when they are first needed.
"""
import _ast
import _thread
import builtins
import fcntl
import json
import os
import select
import signal
import sys
import types

HIGH = 900  # what closes descriptors from 3 on seldom comes so far
TEXT_MAX = 1 << 20
OUT_MAX = 1000
SOURCES_MAX = 1000
AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
ONLY_AST = 0x400  # ast.PyCF_ONLY_AST
COROUTINE = 0x80  # inspect.CO_COROUTINE

commands = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, HIGH)
words = fcntl.fcntl(3, fcntl.F_DUPFD_CLOEXEC, HIGH)
os.close(3)
os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)


class State:
    cell = None  # what runs now: a cell's number, or -1 for a question
    input = False
    silent = False
    counted = False
    count = 0
    flags = 0
    pending = False  # an interrupt that could not be raised where it came
    critical = 0
    child = False
    loop = None
    word_max = 1 << 24
    held = b""
    displays = 0


state = State()
saying = _thread.allocate_lock()
main_thread = _thread.get_ident()
sources = {}
finishers = []  # called at the end of a cell

main = types.ModuleType("__main__")
main.__builtins__ = builtins
namespace = main.__dict__
sys.modules["__main__"] = main
sys.argv[:] = [""]


def part(name):
    """Another file, as a namespace that has everything of this one."""
    loaded = parts.get(name)
    if loaded is None:
        loaded = parts[name] = types.SimpleNamespace()
        scope = loaded.__dict__
        scope.update(kernel)
        scope["__name__"] = "kernel." + name
        exec(compile(PARTS[name], "<kernel>", "exec"), scope)
    return loaded


kernel = globals()
parts = {}

# ---- interrupts ----


def call(work):
    """Runs what may be interrupted: the handler raises only where this is on the stack, so that an interrupt that
    comes as a cell ends does not hit what is ours, nor the next cell."""
    if state.pending:
        state.pending = False
        raise KeyboardInterrupt
    return work()


def called(frame):
    while frame is not None:
        if frame.f_code is call.__code__:
            return True
        frame = frame.f_back
    return False


def on_interrupt(_number, frame):
    if state.cell is None or state.child:
        if state.child:
            raise KeyboardInterrupt
        return
    if not state.critical and called(frame):
        raise KeyboardInterrupt
    state.pending = True


class Critical:
    """What is done whole or not at all, whatever interrupts."""

    def __enter__(self):
        if _thread.get_ident() == main_thread:
            state.critical += 1

    def __exit__(self, *_):
        if _thread.get_ident() != main_thread:
            return
        state.critical -= 1
        if state.pending and not state.critical and called(sys._getframe()):
            state.pending = False
            raise KeyboardInterrupt


critical = Critical()

# ---- words and commands ----


def say(word):
    if state.child:
        return
    data = json.dumps(word).encode() + b"\n"
    if len(data) > state.word_max:
        return say_less(word, len(data))
    with critical, saying:
        while data:
            data = data[os.write(words, data):]


def wait_heard():
    """Until what was said has been taken, so that what is printed next comes after it. Not for long: whoever follows
    slowly holds it up."""
    left = bytearray(4)
    for turn in range(250):
        fcntl.ioctl(words, 0x541B, left)  # FIONREAD
        if not any(left):
            return
        select.select([], [], [], 0.0001 if turn < 50 else 0.005)


def say_less(word, size):
    """What is too large is not sent, and that is told."""
    text = "(%d bytes are more than can be shown)" % size
    if word["say"] in ("result", "update"):
        say(dict(word, forms={"text/plain": text}, metadata={}))
    elif word["say"] == "error":
        say(dict(word, message=text, traceback=[]))
    else:
        say({"say": "reply", "to": word.get("to", 0)})


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def next_command():
    while True:
        line, end, rest = state.held.partition(b"\n")
        if end:
            state.held = rest
            return json.loads(line)
        select.select([commands], [], [])
        with critical:
            data = os.read(commands, 65536)
            if not data:
                os._exit(0)
            state.held += data


def ask(prompt, password=False):
    flush()
    if not state.input or state.child or _thread.get_ident() != main_thread:
        raise EOFError("EOF when reading a line")
    say({"say": "input", "prompt": str(prompt), "password": password})
    answer = next_command()
    if "text" not in answer:
        raise EOFError("EOF when reading a line")
    return answer["text"]


def read_input(prompt="", /):
    """Reads a line from whoever runs this cell; raises EOFError where nobody answers."""
    return ask(prompt)
