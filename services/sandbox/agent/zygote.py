"""Turns this interpreter into a zygote: runs are forks of it, inside jails (zygote.c, python.c).

    LD_PRELOAD=/zygote.so python3 /zygote.py [MODULE]...

Everything up to serve() happens once, with nothing of anyone's; what follows it happens in a run,
in its jail. A run is to differ in nothing but its speed from `python3 FILE ARGS`: the same names
in __main__, the same traceback, exit code and order of ending.
"""
import atexit
import ctypes
import gc
import os
import sys
from importlib.machinery import SourceFileLoader as FileLoader

lib = ctypes.PyDLL("/zygote.so")
known = set()  # the modules that a run finds loaded
lib.syla_argv.restype = lib.syla_env.restype = ctypes.POINTER(ctypes.c_char_p)


def preload(names):
    for name in names:
        try:
            __import__(name)
        except BaseException as error:
            lib.syla_note(b"preload", ("%s: %r" % (name, error)).encode())


def strings(array):
    found = []
    while array[len(found)] is not None:
        found.append(os.fsdecode(array[len(found)]))
    return found


def take_environment(entries):
    pairs = [os.fsencode(entry).partition(b"=") for entry in entries]
    os.environ._data.clear()
    os.environ._data.update((name, value) for name, _, value in pairs)
    lib.syla_use_env()


def renew():
    """What the standard library and common packages drew at random when they were loaded; `random`
    draws anew by itself after a fork. Process ids are no help: each jail begins with the same."""
    loaded = sys.modules.get
    if loaded("ssl"):
        loaded("ssl").RAND_add(os.urandom(32), 32.0)
    if loaded("uuid"):
        loaded("uuid")._node = loaded("uuid")._last_timestamp = None
    if loaded("tempfile"):
        loaded("tempfile")._name_sequence = None
    if loaded("multiprocessing.process"):
        process = loaded("multiprocessing.process")
        process.current_process()._config["authkey"] = process.AuthenticationString(os.urandom(32))
    if loaded("numpy.random"):
        loaded("numpy.random").seed()


def make_main(path):
    main = type(sys)("__main__")
    main.__loader__ = FileLoader("__main__", path)
    main.__annotations__ = {}
    main.__builtins__ = __builtins__
    main.__file__ = path
    main.__cached__ = None
    return main


def exit_code(error):
    """As the interpreter answers SystemExit."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return int(code) & 0xFFFFFFFF if -(2**63) <= code < 2**63 else 0xFFFFFFFF
    try:
        sys.stderr.write(str(code) + "\n")
        sys.stderr.flush()
    except BaseException:
        pass
    return 1


def report(error, frames):
    """By sys.excepthook, without our own frames. Answers the exit code."""
    trace = error.__traceback__
    for _ in range(frames):
        trace = trace and trace.tb_next
    error.__traceback__ = trace
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    try:
        sys.excepthook(type(error), error, trace)
    except SystemExit as again:
        return exit_code(again)
    except BaseException as again:
        sys.stderr.write("Error in sys.excepthook:\n")
        sys.__excepthook__(type(again), again, again.__traceback__)
        sys.stderr.write("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, trace)
    return 1


def run_file(argument):
    path = os.path.abspath(argument)
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    main = sys.modules["__main__"] = make_main(path)
    try:
        try:
            with open(path, "rb") as file:
                source = file.read()
        except OSError as error:
            where = (sys.executable, path, error.errno, error.strerror)
            sys.stderr.write("%s: can't open file %r: [Errno %d] %s\n" % where)
            return 2, False
        code = compile(source, path, "exec", dont_inherit=True)
    except BaseException as error:
        return report(error, 1), False
    del source
    try:
        exec(code, main.__dict__)
    except SystemExit as error:
        return exit_code(error), False
    except BaseException as error:
        return report(error, 1), isinstance(error, KeyboardInterrupt)
    return 0, False


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except BaseException as error:
            if stream is sys.stdout:
                hook = sys.unraisablehook
                hook(type("Unraisable", (), dict(
                    exc_type=type(error), exc_value=error, exc_traceback=None,
                    err_msg=None, object=stream)))
                return False
    return True


def finish(status, interrupted):
    """What the interpreter does at its end, but for freeing what nobody can see any more."""
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    atexit._run_exitfuncs()
    if not flush():
        status = 120
    for name in [name for name in sys.modules if name not in known]:
        sys.modules.pop(name, None)
    sys.modules.pop("__main__", None)
    sys.last_type = sys.last_value = sys.last_traceback = sys.last_exc = None
    gc.collect()
    flush()
    if interrupted:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    lib.syla_exit(status & 0xFF)


def serve():
    preload(sys.argv[1:])
    if not lib.syla_hashes():
        raise SystemExit("hash seeds cannot be renewed")
    known.update(sys.modules)
    # So that a collection in a run neither looks at nor writes to what the zygote made.
    gc.collect()
    gc.freeze()
    if os.fork():
        os._exit(0)
    lib.syla_serve()


def run():
    argv = strings(lib.syla_argv())
    renew()
    take_environment(strings(lib.syla_env()))
    sys.orig_argv = argv
    sys.argv = argv[1:]
    status, interrupted = run_file(argv[1])
    finish(status, interrupted)


serve()
run()
