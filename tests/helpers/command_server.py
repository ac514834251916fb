"""Starts commands by fork from a process that has imported their libraries already.

A command imports JAX, and many also TensorFlow and seqio, which takes two to seven seconds of a
processor each time. It is a process of its own nevertheless: its arguments, environment, working
directory, streams, exit code and end are those of a program that was started by its name. A command
whose environment Python or JAX reads while they are imported cannot be started so.

    python command_server.py SOCKET
"""

import atexit
import contextlib
import json
import os
import random
import runpy
import signal
import socket
import sys
import tempfile
import threading
import traceback

# Beginnings of the names of variables that are read when a process starts or imports a library.
READ_AT_IMPORT = ("PYTHON", "LC_", "LANG", "LD_", "JAX_", "TF_", "MALLOC_", "GLIBC_")
PRELOADED = (
    "seqio",
    "hclx.gin_bindings",
    "hclx.launching",
    "hclx.shared_flags",
    "hclx.train.pretrain",
    "hclx.infer.embedded",
)


def agree_at_import(environment: dict[str, str], other: dict[str, str]) -> bool:
    """Returns whether Python and the libraries start alike in two environments."""
    read = lambda variables: {k: v for k, v in variables.items() if k.startswith(READ_AT_IMPORT)}
    return read(environment) == read(other)


def serve(path: str) -> dict:
    """Listens on a Unix socket; returns in the process of a command, with its request."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    for name in PRELOADED:
        with contextlib.suppress(ImportError):  # an extra that is not installed
            __import__(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    listener.listen()
    os.rename(f"{path}.new", path)  # who finds the socket is answered
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return supervise(connection)
        connection.close()


def supervise(connection: socket.socket) -> dict:
    """Starts the command of one connection, and answers with its process id and, at its end, with
    its exit code; returns in the process of the command.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection, connection.makefile("rw", encoding="utf-8") as stream:
        request = json.loads(stream.readline())
        process = os.fork()
        if process:
            print(process, file=stream, flush=True)
            _, status = os.waitpid(process, 0)
            print(os.waitstatus_to_exitcode(status), file=stream, flush=True)
            os._exit(0)
    return request


def become(request: dict) -> str:
    """Makes this process the one of the command; returns the path of its script."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for descriptor, path in enumerate(request["streams"]):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_APPEND
        os.dup2(os.open(path, flags), descriptor)
    sys.argv = request["arguments"]
    sys.path[0] = os.path.dirname(sys.argv[0])
    random.seed()
    tempfile.tempdir = None
    return sys.argv[0]


def run(script: str) -> None:
    """Runs a script and ends the process with its exit code.

    The interpreter is not finalised: destructors of TensorFlow wait for threads that were not
    forked. All that Python itself does at the end is done.
    """
    code = 0
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run(become(serve(sys.argv[1])))
