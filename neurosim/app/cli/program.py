"""Program of the command line: imports a command when it runs, turns a failure into one line and an exit code."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click

from ...base import plugins
from ...base.collection import without_collection
from ...base.distribution import install
from ...base.errors import NeurosimError, NeurosimInterruptedError, nearest
from ..runs.frame.terminal import printable
from .signals import INTERRUPTED, interrupting_signals

_SHOW = warnings.showwarning
DEBUG = "NEUROSIM_DEBUG"  # set to anything: failures keep their traceback
# Of torch's and numpy's errors of arrays that are too large.
MEMORY_WORDS = (
    "can't allocate memory",
    "out of memory",
    "Maximum allowed dimension exceeded",
    "size calculation overflowed",
    "array is too big",
)


class CommandEntry(NamedTuple):
    """Module of a command, and its line of help.

    Attributes:
        module: its full name; it is imported when the command runs.
        help: the line.
        attribute: the click command in the module.
    """

    module: str
    help: str
    attribute: str = "command"


class Program(click.Group):
    """A click group whose commands are imported when they run.

    Exit codes: 0 done, 1 the run failed, 2 bad usage or input, 128 + n interrupted by signal n. The line on stderr
    names the failure, the rule and the next step. An `extended` program has the kinds of runs of plugins as commands,
    too.
    """

    def __init__(self, *, entries: Mapping[str, CommandEntry], extended: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self.entries = dict(entries)
        self.extended = extended

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.entries, *self._plugins()]

    def _plugins(self) -> list[str]:
        """Return the names of commands of other packages, which are kinds of runs."""
        if self.extended:
            return [name for name in plugins.names("kinds") if name not in self.entries]
        return []

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        # Plugins are imported only when their own command runs.
        if entry is None and cmd_name in self._plugins():
            from ..runs.frame.registry import PLUGINS, command_module

            help = " ".join((PLUGINS[cmd_name].__doc__ or cmd_name).split("\n")[0].split())
            entry = CommandEntry(command_module(cmd_name), help)
        if entry is None:
            return None
        with without_collection():
            module = importlib.import_module(entry.module)
        command: click.Command = getattr(module, entry.attribute)
        command.name = cmd_name
        command.short_help = entry.help
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            own = [(name, entry.help) for name, entry in self.entries.items()]
            formatter.write_dl([*own, *((name, "A kind of run of a plugin.") for name in self._plugins())])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            near = nearest(args[0], known)
            if near:
                hint = f"did you mean '{near}'?"
            else:
                hint = f"choose from {', '.join(known)}"
            raise click.UsageError(f"no command '{args[0]}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        # click would exit by itself; here every failure becomes one line.
        settings = {"prog_name": prog_name or "neurosim", "complete_var": complete_var, **extra}
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **settings)
        _let_threads_sleep()
        # The process ends soon: Python would look for garbage among a million objects of libraries, for half a second.
        atexit.register(gc.freeze)
        with interrupting_signals() as arrived:
            try:
                with warnings.catch_warnings():
                    warnings.showwarning = _show_warning
                    code = super().main(args, standalone_mode=False, **settings)
                # Here and not at exit, so that a disk that is full or a pipe that was closed becomes a line, too.
                sys.stdout.flush()
            except Exception as error:
                if os.environ.get(DEBUG):
                    traceback.print_exc()
                code, line = explain(error)
                if arrived and isinstance(error, click.Abort | NeurosimInterruptedError):
                    code = 128 + arrived[0]
                click.echo(printable(f"neurosim: {line}"), err=True)
        sys.exit(code if isinstance(code, int) else 0)


def _let_threads_sleep() -> None:
    """Let torch's threads wait by spinning for 50 us and not for several ms, unless the user says how they wait.

    Where other programs use the cores, a thread spins while the one that it waits for has no core: an update of
    `convert lm-train` took 3 to 9 s of processor time on two threads in place of .5 s. The number is the one that GNU
    OpenMP takes where threads outnumber cores; it is read when torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **further: Any) -> None:
    """Print a warning of ours as one line, without the place in the code."""
    if category.__module__.partition(".")[0] == "neurosim":
        click.echo(printable(f"neurosim: {' '.join(str(message).split())}"), err=True)
    else:
        _SHOW(message, category, *where, **further)


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and the line for a failure."""
    # Commands import torch where they compute by it: sweeps and streams of tasks may do without.
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        return 2, f"this command needs torch, which is not installed; run: {install('train')}"
    if _asks_for_memory(error):
        error = MemoryError()
    for kind, words in _EXPLAIN:
        if isinstance(error, kind):
            code, text = words(error)
            return code, " ".join(text.split())
    # Anything else is an error of ours: the place says which, and the traceback is one environment variable away.
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error} (at {os.path.basename(where.filename)}:{where.lineno})"
    return 1, " ".join(f"internal error: {text}; set {DEBUG}=1 for the traceback and report it".split())


def _asks_for_memory(error: Exception) -> bool:
    """Return whether numpy or torch was asked for more memory than there is, which not all say by a MemoryError."""
    text = str(error)
    return isinstance(error, RuntimeError | ValueError) and any(words in text for words in MEMORY_WORDS)


def _usage(error: Any) -> tuple[int, str]:
    if getattr(error, "ctx", None):
        path = error.ctx.command_path
    else:
        path = "neurosim"
    message = error.format_message().rstrip(".")
    if message.startswith("Got unexpected extra argument"):
        message += "; a name with spaces stands in quotes"
    joint = " See" if message.endswith("?") else "; see"
    return error.exit_code, f"{message}{joint} '{path} --help'"


def _os(error: Any) -> tuple[int, str]:
    name = "" if error.filename is None else f"{error.filename}: "
    return 1, f"{name}{error.strerror or error}; free the disk, or correct the path or its permissions, and run again"


# The first kind that fits decides; click's own usage errors exit with 2.
_EXPLAIN = (
    (NeurosimError, lambda e: (e.exit_code, str(e))),
    (click.ClickException, _usage),
    (click.Abort, lambda e: (INTERRUPTED, "interrupted; files that were already written are complete")),
    (
        MemoryError,
        lambda e: (
            1,
            "out of memory; make the network smaller, or use fewer recordings (--limit, --set data.train_limit=N)",
        ),
    ),
    (OSError, _os),
)
