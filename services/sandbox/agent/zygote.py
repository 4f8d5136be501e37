"""The Python half of a zygote (python.c, which says how it comes to be called): what is loaded once,
and what of it a run is to have of its own. None of this is on the stack while a program runs.
"""
import os
import sys

# The interpreter's main has its script's path so from 3.9 on.
main_is_absolute = sys.version_info >= (3, 9)
environments = [os.environ._data, sys.modules["posix"].environ]
drawn = []


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
    drawn.extend(renewal for renewal in RENEWALS if renewal[0] in sys.modules)
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


def forget_node(uuid):
    uuid._node = uuid._last_timestamp = None


def forget_names(tempfile):
    tempfile._name_sequence = None


def renew_authkey(process):
    process.current_process()._config["authkey"] = process.AuthenticationString(os.urandom(32))


# What the standard library and common packages drew at random when they were loaded; `random` draws
# anew by itself after a fork. Process ids are no help: each jail begins with the same.
RENEWALS = (
    ("ssl", lambda ssl: ssl.RAND_add(os.urandom(32), 32.0)),
    ("uuid", forget_node),
    ("tempfile", forget_names),
    ("multiprocessing.process", renew_authkey),
    ("numpy.random", lambda random: random.seed()),
)


def renew():
    for name, own in drawn:
        own(sys.modules[name])


def packed(path):
    """What runs a folder or an archive by its __main__; None for any other file."""
    for hook in sys.path_hooks:
        try:
            sys.path_importer_cache[path] = hook(path)
        except ImportError:
            continue
        import runpy

        sys.path[0] = path
        return runpy._run_module_as_main
    return None
