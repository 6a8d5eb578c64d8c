"""The commands of runs: the decorators that make them, and the one place where results are printed."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....base.distribution import install
from ....base.errors import NeurosimError, NeurosimInputError, NeurosimMissingError
from ....base.json_toml import toml_text
from ....base.plain import to_plain
from .ahead import compiled_ahead
from .arguments import (
    COMMON,
    CPU,
    OPTIONAL,
    SHARED,
    SectionOption,
    common_options,
    resume_option,
    show_config,
    take_settings,
)
from .command_options import CommandOptions, with_folder
from .compilation import compilation_shown
from .options import ConfigShown, silent
from .terminal import printable

if TYPE_CHECKING:
    from .kind import Kind, RunResult


class Command(click.Command):
    """A command whose help has the options of its own first, then those with a heading, then those of all commands."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        shared: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None or isinstance(parameter, click.Argument):
                continue
            if parameter.name in SHARED or "--help" in parameter.opts:
                shared.append(record)
            else:
                heading = parameter.section if isinstance(parameter, SectionOption) else "Options"
                sections.setdefault(heading, []).append(record)
        # "Options" comes first, wherever the first option of another heading stands.
        own = sections.pop("Options", [])
        for heading, records in (("Options", own), *sections.items(), ("Options that commands share", shared)):
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


@dataclass(frozen=True)
class CommandResult:
    """Output of a command: `data` with `--json`, else `text`.

    A `failure` follows on stderr, and the exit code is 1.
    """

    data: Mapping[str, object]
    text: str
    failure: str = ""

    @classmethod
    def of(cls, kind: Kind[Any, Any, Any], result: RunResult) -> CommandResult:
        """Return the results of a run: their tree, their text and why the run failed.

        The results of a preset's run have the published figure beside them.
        """
        from ..presets.preset import beside, render_beside
        from .folder import open_run

        tree = result.to_dict()
        text = kind.render_text(result)
        comparison = None
        if result.run:
            comparison = beside(open_run(Path(result.run)).manifest.facts, tree)
        if comparison is not None:
            tree = {**tree, "beside": to_plain(comparison)}
            text = f"{text}\n\n{render_beside(comparison)}"
        return cls(tree, text, result.failure() or "")


def common(
    devices: Sequence[str] = CPU, without: Sequence[str] = (), *, needs_torch: bool = True
) -> Callable[[Callable[..., CommandResult]], Callable[..., None]]:
    """Return a decorator: the wrapped function takes `options: CommandOptions` first, returns a `CommandResult`, and
    prints nothing.

    With `--json`, the prints of libraries go to stderr instead of stdout.

    Args:
        devices: `CPU`, or `CPU_OR_CUDA` for a command that needs torch.
        without: names of the options that have no effect on the command: they are refused, and not in its help.
        needs_torch: whether a command that can run on a GPU needs torch on the CPU, too.
    """

    def decorate(function: Callable[..., CommandResult]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**values: Any) -> None:
            fields = {name: values.pop(name) for name in COMMON}
            fields |= {name: values.pop(name) for name in OPTIONAL if name in values}
            # What is left in `values` after this are the arguments of the command itself.
            # The seed is a setting of every run as well, and is merged with the others.
            fields["settings"] = {**take_settings(values), "seed": fields["seed"]}
            fields["say"] = silent if fields["quiet"] else _say
            options = CommandOptions(command=("neurosim", *sys.argv[1:]), **fields)
            options.refuse(*without)
            if needs_torch or options.device != "cpu":
                _check_device(options.device, devices)
            # After the options, which are refused whatever stands in the place of the dataset.
            options = replace(options, settings=with_folder(options.settings))
            try:
                with contextlib.ExitStack() as stack:
                    if options.json:
                        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
                    stack.enter_context(compilation_shown(options.say))
                    if not options.show_config:
                        words = click.get_current_context().command_path
                        stack.enter_context(compiled_ahead(words.partition(" ")[2]))
                    result = function(options, **values)
            except ConfigShown as shown:
                result = CommandResult(shown.config, toml_text(shown.config, "--show-config").rstrip())
            # Names of files, datasets and classes come from outside and may hold control characters.
            click.echo(to_json(result.data) if options.json else printable(result.text))
            if result.failure:
                raise NeurosimError(result.failure)

        # click lists the options of a command in the reverse order of the decorators.
        for option in reversed(common_options(devices, without)):
            command = option(command)
        return command

    return decorate


def run_command(
    name: str | None = None,
    *,
    short_help: str | None = None,
    devices: Sequence[str] = CPU,
    without: Sequence[str] = (),
    resume: str = "",
    default_dataset: str | None = None,
) -> Callable[[Callable[..., Kind[Any, Any, Any]]], click.Command]:
    """Return a decorator: the function takes `options: CommandOptions` and the arguments of its own options, and
    returns the kind of run; the command then starts or resumes such a run and prints its results.

    Options of the command stand between this decorator and the function, whose docstring is its help.

    Args:
        name: of the command; a command of the program has the name of its kind.
        short_help: its line in the help of a group.
        devices, without: as `common`.
        resume: help of the option `--resume RUN`; "" where such runs cannot continue.
        default_dataset: dataset of a new run for which neither an option nor a file names one.
    """

    def decorate(function: Callable[..., Kind[Any, Any, Any]]) -> click.Command:
        # Options of the command come first in its help, so they are added last. Until `click.command` takes them, click
        # collects the options of decorators in `__click_params__`.
        own: list[click.Parameter] = function.__dict__.pop("__click_params__", [])

        @functools.wraps(function)
        def run(options: CommandOptions, **arguments: Any) -> CommandResult:
            kind = function(options, **arguments)
            if default_dataset is not None and options.resumed is None:
                options = options.with_default_dataset(default_dataset)
            return run_kind(kind, options)

        command: Any = common(devices, without)(run)
        command = show_config(command)
        if resume:
            command = resume_option(resume)(command)
        command.__click_params__ += own
        return click.command(name, cls=Command, short_help=short_help)(command)

    return decorate


def run_kind(kind: Kind[Any, Any, Any], options: CommandOptions) -> CommandResult:
    """Start or resume a run as the options say.

    Of several processes that share the run, one leads, which has the folder and prints; the others follow.

    Raises:
        NeurosimError: as `lifecycle.start` and `lifecycle.resume`.
        click.exceptions.Exit: in a process that follows.
    """
    from . import lifecycle
    from .folder import open_run

    if options.resumed is not None:
        options.check_resume()
    # Joined first: only then is it known which process leads.
    with kind.joined() as own:
        if options.resumed is not None:
            if own.leads:
                return CommandResult.of(own, lifecycle.resume(own, options.resumed, options))
            folder = open_run(options.resumed)
            lifecycle.follow(own.of(folder), own.stored(folder), options, folder)
        else:
            config = own.configure(options.config, options.sets, options.settings)
            if own.leads:
                return CommandResult.of(own, lifecycle.start(own, config, options))
            lifecycle.follow(own, config, options)
    raise click.exceptions.Exit(0)


def to_json(data: Mapping[str, object]) -> str:
    """Return strict JSON: no NaN, numpy numbers and paths as plain ones."""
    return json.dumps(data, indent=2, allow_nan=False, default=to_plain)


def _say(line: str) -> None:
    click.echo(printable(line), err=True)


def _check_device(device: str, devices: Sequence[str]) -> None:
    """Raise where a command cannot run on a device, or torch is not there for it.

    Raises:
        NeurosimInputError: a device that the command or this machine does not have.
        NeurosimMissingError: torch is not installed.
    """
    if device not in devices:
        raise NeurosimInputError(
            f"--device: this command runs on {' or '.join(devices)} only (got {device}); leave --device out"
        )
    # What computes by torch on a CPU says by itself that it needs it: sweeps and streams of tasks may do without.
    if device == "cpu":
        return
    try:
        import torch
    except ImportError as error:
        command = click.get_current_context().command_path.partition(" ")[2]
        raise NeurosimMissingError(f"{command}: needs torch ({error}); run: {install('train')}") from None
    if device == "cuda" and not torch.cuda.is_available():
        raise NeurosimInputError(
            "--device: must be cpu, because torch finds no CUDA device (got cuda); leave --device out"
        )
