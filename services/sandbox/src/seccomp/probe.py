"""Makes system calls that the filter decides, and prints what each answered.

Run by seccomp/live.test.ts twice: under the filter, and without it as the control.
"""

import ctypes
import errno
import os
import socket
import subprocess
import sys
import tempfile
import threading

libc = ctypes.CDLL(None, use_errno=True)
X64 = os.uname().machine == "x86_64"


def call(x64, arm64, *args):
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    ctypes.set_errno(0)
    if libc.syscall(ctypes.c_long(x64 if X64 else arm64), *arguments) >= 0:
        return "ok"
    return errno.errorcode[ctypes.get_errno()]


def python(function):
    try:
        function()
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


def in_child(function):
    """For calls that change the caller: a child makes the call and reports through a pipe."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, function().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    answer = os.read(read, 100).decode()
    os.close(read)
    return answer


def new_user_child():
    # clone(CLONE_NEWUSER | SIGCHLD) with no stack of its own returns twice, as fork does.
    child = libc.syscall(ctypes.c_long(56 if X64 else 220), 0x10000011, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    if child < 0:
        return errno.errorcode[ctypes.get_errno()]
    os.waitpid(child, 0)
    return "ok"


def threads():
    workers = [threading.Thread(target=len, args=("x",)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def file_with_mode(mode):
    with tempfile.NamedTemporaryFile() as file:
        os.chmod(file.name, mode)


def created_with_mode(mode):
    path = f"/tmp/created-{mode}"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, mode))


def echo():
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    peer, _ = listener.accept()
    client.sendall(b"hello")
    assert peer.recv(5) == b"hello"


PROBES = {
    # What must work.
    "threads": lambda: python(threads),
    "subprocess": lambda: python(lambda: subprocess.run(["/usr/bin/true"], check=True)),
    "shell": lambda: python(lambda: subprocess.run(["/bin/sh", "-c", "ls / | cat"], check=True,
                                                   stdout=subprocess.DEVNULL)),
    "tcp": lambda: python(echo),
    "unix sockets": lambda: python(socket.socketpair),
    "chmod 0755": lambda: python(lambda: file_with_mode(0o755)),
    "create 0644": lambda: python(lambda: created_with_mode(0o644)),
    "fifo": lambda: python(lambda: os.mkfifo("/tmp/fifo")),
    "memfd": lambda: python(lambda: os.memfd_create("x")),
    "pidfd": lambda: python(lambda: os.pidfd_open(os.getpid())),
    "setuid(own)": lambda: python(lambda: os.setuid(os.getuid())),
    "sync": lambda: python(os.sync),
    # What must not.
    "unshare user": lambda: in_child(lambda: call(272, 97, 0x10000000)),
    "unshare mount": lambda: in_child(lambda: call(272, 97, 0x10020000)),
    "clone user": new_user_child,
    "clone3": lambda: call(435, 435, 0, 0),
    "ptrace": lambda: in_child(lambda: call(101, 117, 0, 0, 0, 0)),
    "process_vm_readv": lambda: call(310, 270, os.getpid(), 0, 0, 0, 0, 0),
    "keyctl": lambda: call(250, 219, 0, -3, 1),
    "netlink": lambda: python(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)),
    "io_uring": lambda: call(425, 425, 1, ctypes.create_string_buffer(120)),
    "TIOCSTI": lambda: call(16, 29, 0, 0x5412, ctypes.create_string_buffer(b"x")),
    "chmod 4755": lambda: python(lambda: file_with_mode(0o4755)),
    "create 4755": lambda: python(lambda: created_with_mode(0o4755)),
    "personality": lambda: in_child(lambda: call(135, 92, 0x40000)),
    "prctl seccomp": lambda: call(157, 167, 22, 2, 0, 0, 0),
    "prlimit other": lambda: python(lambda: subprocess_limit()),
    "inotify open": lambda: watch(0x20),
    "urgent byte": lambda: python(lambda: socket.socketpair()[0].send(b"x", socket.MSG_OOB)),
    "future call": lambda: call(5000, 5000),
}


def subprocess_limit():
    import resource

    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)


def watch(mask):
    inotify = libc.inotify_init1(0)
    return call(254, 27, inotify, ctypes.create_string_buffer(b"/usr/bin"), mask)


for name, probe in PROBES.items():
    print(f"{name}: {probe()}", flush=True)
sys.exit(0)
