"""The Python half of a zygote (python.c, which says how it comes to be called): what is loaded once,
and what of it a run is to have of its own. None of this is on the stack while a program runs.
"""
import os
import sys

# What follows the list of an archive's files: 22 bytes and a comment.
ARCHIVE_END_BYTES_MAX = 22 + 65535


def load(name):
    try:
        __import__(name)
    except BaseException as error:
        return [os.fsencode("%s: %r" % (name, error))]
    return []


def prepare():
    """Answers what there is to say of it."""
    own = sys.path.pop(0)
    notes = [note for name in sys.argv[1:] for note in load(name)]
    sys.path.insert(0, own)
    sys.path_importer_cache.pop(sys.argv[0], None)
    return notes


def unseen(name):
    """A module that is not to be found loaded, if it is not anyway."""
    loaded = name in sys.modules
    module = __import__(name)
    return module if loaded else sys.modules.pop(name)


def freeze():
    """So that a collection in a run neither looks at nor writes to what the zygote made. Not collected
    before, which the program's counts would tell: what little garbage there is, is shared."""
    unseen("gc").freeze()


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


def take_environment(entries):
    pairs = [entry.partition(b"=") for entry in entries]
    given = {name: value for name, _, value in pairs}
    for kept in (os.environ._data, sys.modules["posix"].environ):
        kept.clear()
        kept.update(given)


def renew_main():
    """One that is not frozen: what a program leaves in it is found by its last collection."""
    main = type(sys)("__main__")
    main.__dict__.update(sys.modules["__main__"].__dict__)
    sys.modules["__main__"] = main


def take_arguments(words):
    """Answers the path of the file to run, as the interpreter's main has it."""
    renew()
    renew_main()
    argv = [os.fsdecode(word) for word in words]
    if sys.version_info >= (3, 10):
        sys.orig_argv = argv
    sys.argv = argv[1:]
    path = argv[1]
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    if sys.version_info >= (3, 9) and not os.path.isabs(path):
        path = os.path.join(os.getcwd(), path)
    return os.fsencode(path)


def may_be_packed(path):
    if os.path.isdir(path):
        return True
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - ARCHIVE_END_BYTES_MAX))
        return b"PK\5\6" in file.read()


def packed(path):
    """What runs a folder or an archive by its __main__; None for any other file. The interpreter asks
    its importers, which takes 0.1 ms longer."""
    path = os.fsdecode(path)
    sys.path_importer_cache[path] = None
    for hook in sys.path_hooks if may_be_packed(path) else ():
        try:
            sys.path_importer_cache[path] = hook(path)
        except ImportError:
            continue
        import runpy

        sys.path[0] = path
        return runpy._run_module_as_main
    return None
