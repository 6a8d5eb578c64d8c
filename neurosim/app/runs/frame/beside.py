"""A call in a process of its own, beside what a run computes.

The answers of simple classifiers and of a small convolutional network need the items of a memory and nothing that it
computes. On one thread they take as long as a small run, which leaves a core free for much of that time. The process
has the run's priority: with a lower one a run that uses all cores waits for it at its end. Results are the same with
and without it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ....engine.threads import core_count
from .ahead import end_with_parent
from .options import RunOptions

PROGRAM = "import sys; sys.path[0] = {root!r}; from neurosim.app.runs.frame import beside; beside.main()"

P = ParamSpec("P")
R = TypeVar("R")


@contextlib.contextmanager
def called_beside(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Iterator[Callable[[], R]]:
    """Call a function of a module in another process; yield a function that waits for its result and returns it.

    The function is called in this process, when its result is asked for, where no process can be started, where it was
    killed, and where the call raised there, so that an error is raised here. The process ends with the block.
    """
    try:
        process = _start()
    except OSError:
        # The system may allow no further process.
        yield lambda: function(*args, **kwargs)
        return
    # In a thread: the process reads its arguments after its imports, and a pipe holds 64 kB.
    writer = threading.Thread(target=_write, args=((function, args, kwargs), process), daemon=True)
    writer.start()

    def result() -> R:
        stdout: Any = process.stdout
        try:
            made: R = pickle.load(stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            return function(*args, **kwargs)
        return made

    try:
        yield result
    finally:
        process.kill()
        writer.join()
        # Closes the pipes, too.
        process.communicate()


def has_free_core(options: RunOptions) -> bool:
    """Return whether a run may use another core than its own."""
    return options.threads != 1 and core_count() > 1


def _start() -> subprocess.Popen[bytes]:
    """Start the process; it imports this package from its folder, whatever lies in the current one."""
    root = str(Path(__file__).resolve().parents[4])
    line = [sys.executable, "-c", PROGRAM.format(root=root)]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _write(call: object, process: subprocess.Popen[bytes]) -> None:
    stdin: Any = process.stdin
    try:
        pickle.dump(call, stdin, protocol=pickle.HIGHEST_PROTOCOL)
        stdin.flush()
    except (OSError, pickle.PicklingError, AttributeError, TypeError):
        # It was killed, or an argument cannot be pickled: without arguments it has nothing to do.
        process.kill()


def main() -> None:
    """Call what standard input holds, and write the result to standard output."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # What libraries print must not meet the result.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    function, args, kwargs = pickle.load(sys.stdin.buffer)
    # The command holds standard input open as long as it lives.
    threading.Thread(target=end_with_parent, daemon=True).start()
    pickle.dump(function(*args, **kwargs), out, protocol=pickle.HIGHEST_PROTOCOL)
    out.flush()
