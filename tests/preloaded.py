"""Python programs in processes of their own, without the seconds that imports take.

A server of this test process imports everything once, stays without threads, and forks for each
program. A program has a directory, an environment, standard streams, a session and an end of its
own, and is really signaled and killed. What Python and its libraries read when they are loaded is
the test process's (`PYTHONPATH`), and one thread: those of two test workers would wait for each
other.

`Program` starts one from a test; `write_command` makes a file that a shell can run. How a command
starts from nothing is seen in tests/cli/test_bad_input.py, and in continuous integration.
"""

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
SIZE = "{:016d}"
"""Of what is asked for, in bytes, ahead of it."""

# -------------------------------------------------------------------- for the tests


class Program:
    """A program that runs beside the test.

    Args:
        arguments: as Python's own: `-c CODE`, `-m MODULE` or a file, and the program's.
        folder: where it runs; by default where the test does.
        environment: all of it; by default the test's.
        streams: its standard input, output and error; by default nothing is to be read, and what
            is written is in `said` and `complained`.

    Attributes:
        pid: its process.
        returncode: as `subprocess` has it; None while it runs.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        streams: Sequence[int] = (),
    ) -> None:
        if not streams:
            streams = [os.memfd_create("stream") for _ in range(3)]
            for stream in streams:
                weakref.finalize(self, os.close, stream)
        self._streams = streams
        where = str(folder or Path.cwd())
        given = dict(os.environ if environment is None else environment)
        self._server = _ask(_server(), arguments, where, given, streams)
        self.pid = int(self._server.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        if self.returncode is None and select.select([self._server], [], [], 0)[0]:
            self.returncode = int(self._server.readline())
            self._server.close()
        return self.returncode

    def wait(self, seconds: float = 600) -> int:
        """Its exit code, once it has ended."""
        begun = time.monotonic()
        while self.poll() is None:
            if time.monotonic() - begun > seconds:
                self.kill()
                raise TimeoutError(f"process {self.pid} has not ended in {seconds} s")
            select.select([self._server], [], [], 1)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing, if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """With SIGKILL; `wait` says when it is gone."""
        self.send_signal(signal.SIGKILL)

    @property
    def said(self) -> str:
        """What it has written to its standard output so far."""
        return _content(self._streams[1])

    @property
    def complained(self) -> str:
        """What it has written to its standard error so far."""
        return _content(self._streams[2])


def write_command(path: Path, *arguments: str) -> None:
    """An executable file that runs `python ARGUMENTS`, with those that it is given after them."""
    words = [sys.executable, "-S", "-E", str(Path(__file__)), _server(), *arguments]
    path.write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
    path.chmod(0o755)


def _content(stream: int) -> str:
    return os.pread(stream, os.fstat(stream).st_size, 0).decode("utf-8", "replace")


@functools.cache
def _server() -> str:
    """Where the server of this process listens; it is started when the first asks."""
    folder = tempfile.TemporaryDirectory(prefix="preloaded-")
    address = f"{folder.name}/socket"
    command = [sys.executable, "-m", "tests.preloaded", address]
    server = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin
    assert server.stdout
    assert server.stdout.readline() == b"ready\n"

    def end() -> None:
        server.stdin.close()
        server.wait()
        server.stdout.close()
        folder.cleanup()

    atexit.register(end)
    return address


# -------------------------------------------------------------------- between the two


def _ask(
    address: str,
    arguments: Sequence[str],
    folder: str,
    environment: dict[str, str],
    streams: Sequence[int],
) -> IO[str]:
    """Ask for a program: the line of its process comes at once, the one of its code at its end."""
    asked = json.dumps([list(arguments), folder, environment]).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [SIZE.format(len(asked)).encode()], list(streams))
        connection.sendall(asked)
        return connection.makefile()


def _run_and_end_as_it() -> None:
    """The command that a shell runs: `preloaded.py ADDRESS ARGUMENTS`."""
    address, *arguments = sys.argv[1:]
    server = _ask(address, arguments, os.getcwd(), dict(os.environ), (0, 1, 2))
    server.readline()
    code = int(server.readline())
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


# -------------------------------------------------------------------- the server


def _serve(address: str) -> None:
    """Until standard input ends, a program for each that asks; returns in those programs, too."""
    _import_everything()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:  # their seconds count as the server's
                    pass
            if sys.stdin in ready:
                return
            connection, _ = listener.accept()
            with connection:
                if os.fork():
                    continue
                listener.close()
                _attend(connection)
            return


def _import_everything() -> None:
    import gc
    import importlib
    import pkgutil

    names = list(OTHERS)
    for room in ROOMS:
        path = importlib.import_module(f"instructgpt.{room}").__path__
        names += [found.name for found in pkgutil.walk_packages(path, f"instructgpt.{room}.")]
    for name in names:
        importlib.import_module(name)
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, "forking a process with threads is not safe"
    gc.freeze()


ROOMS = (
    *("cli", "data", "models", "rollout", "distributed", "training", "sft", "reward", "ppo"),
    *("label", "evaluation", "pipeline", "report"),
)
"""All modules of these."""
OTHERS = (
    "matplotlib.backends.backend_agg",
    "torch._dynamo",
    "torch.distributed.fsdp",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.gpt_neox.modeling_gpt_neox",
    "transformers.models.llama.modeling_llama",
)
"""What libraries load when it is needed."""


def _attend(connection: socket.socket) -> None:
    """In a process of its own: start the program that is asked for, say how it ends, and end.

    Returns in the program alone, once it has done its work.
    """
    size, streams, _, _ = socket.recv_fds(connection, len(SIZE.format(0)), 3)
    asked = b""
    while len(asked) < int(size):
        asked += connection.recv(int(size) - len(asked))
    arguments, folder, environment = json.loads(asked)
    program = os.fork()
    if not program:
        connection.close()
        _settle(folder, environment, streams)
        _execute(arguments)
        return
    for stream in streams:
        os.close(stream)
    try:
        connection.sendall(f"{program}\n".encode())
        _, status = os.waitpid(program, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    except BrokenPipeError:
        pass  # nobody wants to know
    os._exit(0)


def _settle(folder: str, environment: dict[str, str], streams: Sequence[int]) -> None:
    """What a process has that was just started."""
    import fcntl
    import random
    import termios

    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell ran us by `&`
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    tempfile.tempdir = None
    random.seed()


def _execute(arguments: list[str]) -> None:
    """As `python ARGUMENTS` would."""
    import runpy
    import types

    how, *rest = arguments
    sys.argv = arguments
    if how == "-c":
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    elif how == "-m":
        sys.argv, sys.path[0] = rest, os.getcwd()
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(how).parent)
        runpy.run_path(how, run_name="__main__")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        _serve(sys.argv[1])
    else:
        _run_and_end_as_it()
