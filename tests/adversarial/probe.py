"""What the attacks written in Python share: try things, and report what came of each.

`attempt(name, action)` notes the errno with which an action was refused, or what it answered ("done" for nothing).
"""
import ctypes
import errno
import json
import os

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
outcomes = {}


def attempt(name, action):
    try:
        answer = action()
        outcomes[name] = "done" if answer is None else answer
    except OSError as error:
        outcomes[name] = errno.errorcode.get(error.errno, str(error))
    except Exception as error:
        outcomes[name] = f"{type(error).__name__}: {error}"


def syscall(number, *arguments):
    """A system call by its number; raises OSError."""
    ctypes.set_errno(0)
    words = [a if not isinstance(a, int) else ctypes.c_long(a) for a in arguments]
    answer = libc.syscall(ctypes.c_long(number), *words)
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def call(function, *arguments):
    """A function of the C library that answers -1 and errno; raises OSError."""
    ctypes.set_errno(0)
    answer = function(*arguments)
    if answer == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def read(path, size=4096):
    with open(path, "rb") as file:
        return file.read(size).decode("latin-1")


def report():
    print(json.dumps(outcomes), flush=True)
