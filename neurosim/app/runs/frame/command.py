"""The commands of runs: the options that all of them take, and the one place where results are printed."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ....base.errors import NeurosimError, NeurosimInputError, NeurosimMissingError, require
from ....base.json_toml import toml_text
from ....base.plain import to_plain
from .options import ConfigShown, RunOptions, silent
from .plugin_option import plugin_option
from .terminal import printable

if TYPE_CHECKING:
    from .kind import Kind, RunResult

_SETTING = "setting__"  # begins the names of parameters that are settings
CPU = ("cpu",)
CPU_OR_CUDA = ("cpu", "cuda")  # of commands whose models run in torch and Triton
NO_RUN = ("config", "sets", "seed", "out", "threads")  # options of commands that run nothing
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class CommandOptions(RunOptions):
    """The options that every command takes; None where the user gave none.

    Attributes:
        config: settings in TOML.
        sets: settings as `key=value`.
        seed: of everything random.
        json: print JSON.
        resumed: folder of the run to continue; None: a new run.
        given: the settings that options of the command gave, by dotted key, and `seed`; see `setting`.
    """

    config: Path | None = None
    sets: tuple[str, ...] = ()
    seed: int | None = None
    json: bool = False
    resumed: Path | None = None
    given: Mapping[str, object] = field(default_factory=dict)


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

        Those of a preset's run have the published figure beside them.
        """
        from ..presets.preset import beside, render_beside
        from .folder import open_run

        tree = result.to_dict()
        text = kind.render_text(result)
        if result.run:
            found = beside(open_run(Path(result.run)).manifest.facts, tree)
        else:
            found = None
        if found is not None:
            tree = {**tree, "beside": to_plain(found)}
            text = f"{text}\n\n{render_beside(found)}"
        return cls(tree, text, result.failure() or "")


def common(
    devices: Sequence[str] = CPU, without: Sequence[str] = ()
) -> Callable[[Callable[..., CommandResult]], Callable[..., None]]:
    """Return a decorator: the wrapped function takes `options: CommandOptions` first, returns a `CommandResult`, and
    prints nothing.

    With `--json`, whatever a library prints on stdout meanwhile goes to stderr.

    Args:
        devices: `CPU`, or `CPU_OR_CUDA` for a command that needs torch.
        without: names of the options that have no effect on the command: they are refused, and not in its help.
    """

    def decorate(function: Callable[..., CommandResult]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**values: Any) -> None:
            own = {name: values.pop(name) for name in _NAMES}
            keys = {name: _key(name) for name in values if name.startswith(_SETTING)}
            given = {key: values.pop(name) for name, key in keys.items()}
            own["given"] = {**own_folder(given), "seed": own["seed"]}
            say = silent if own["quiet"] else _say
            own |= {name: values.pop(name) for name in _SOME if name in values}
            options = CommandOptions(command=("neurosim", *sys.argv[1:]), say=say, **own)
            refuse_options(options, *without)
            _check_device(options.device, devices)
            try:
                with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
                    result = function(options, **values)
            except ConfigShown as shown:
                result = CommandResult(shown.config, toml_text(shown.config, "--show-config").rstrip())
            # Names of files, datasets and classes are others' texts.
            click.echo(to_json(result.data) if options.json else printable(result.text))
            if result.failure:
                raise NeurosimError(result.failure)

        for option in reversed(_common_options(devices, without)):
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
        # Options of the command come first in its help, so they are added last.
        own: list[click.Parameter] = function.__dict__.pop("__click_params__", [])

        @functools.wraps(function)
        def run(options: CommandOptions, **arguments: Any) -> CommandResult:
            kind = function(options, **arguments)
            if default_dataset is not None and options.resumed is None:
                options = _with_dataset(options, default_dataset)
            return run_kind(kind, options)

        command: Any = common(devices, without)(run)
        command = show_config(command)
        if resume:
            command = resume_option(resume)(command)
        command.__click_params__ += own
        return click.command(name, short_help=short_help)(command)

    return decorate


def run_kind(kind: Kind[Any, Any, Any], options: CommandOptions) -> CommandResult:
    """Start or resume a run as the options say. A process that does not lead prints nothing.

    Raises:
        NeurosimError: as `lifecycle.start` and `lifecycle.resume`.
        click.exceptions.Exit: in a process that does not lead; the one that does prints.
    """
    from . import lifecycle
    from .folder import open_run

    if options.resumed is not None:
        check_resume(options)
    with kind.joined() as own:
        if own.leads and options.resumed is not None:
            return CommandResult.of(own, lifecycle.resume(own, options.resumed, options))
        if options.resumed is not None:
            folder = open_run(options.resumed)
            lifecycle.follow(own.of(folder), own.stored(folder), options, folder)
        else:
            config = own.configure(options.config, options.sets, options.given)
            if own.leads:
                return CommandResult.of(own, lifecycle.start(own, config, options))
            lifecycle.follow(own, config, options)
    raise click.exceptions.Exit(0)


def _say(line: str) -> None:
    click.echo(printable(line), err=True)


def own_folder(given: Mapping[str, object]) -> dict[str, object]:
    """Return settings in which a folder in the place of a dataset's name is its root.

    Raises:
        NeurosimInputError: it is a file.
        NeurosimMissingError: it is a path, and nothing is there.
    """
    from ....data import catalog

    name = given.get("data.name")
    if not isinstance(name, str) or name in catalog.names():
        return dict(given)
    if Path(name).is_dir():
        return {**given, "data.name": "folder", "data.root": name}
    if Path(name).is_file():
        raise NeurosimInputError(
            f"{name}: is a file; give the folder that holds a folder for each class, or see it: neurosim view {name}"
        )
    if len(Path(name).parts) > 1 or name.endswith(os.sep):
        raise NeurosimMissingError(
            f"{name}: no such folder; check the path, or give a name of 'neurosim datasets list'"
        )
    return dict(given)


def to_json(data: Mapping[str, object]) -> str:
    """Return strict JSON: no NaN, numpy numbers and paths as plain ones."""
    return json.dumps(data, indent=2, allow_nan=False, default=to_plain)


def _check_device(device: str, devices: Sequence[str]) -> None:
    if device not in devices:
        raise NeurosimInputError(
            f"--device: this command runs on {' or '.join(devices)} only (got {device}); leave --device out"
        )
    if devices == CPU:
        return
    try:
        import torch
    except ImportError as error:
        command = click.get_current_context().command_path
        raise NeurosimMissingError(
            f"{command}: needs torch ({error}); run: pip install 'neurosim-spiking[train]'"
        ) from None
    if device == "cuda" and not torch.cuda.is_available():
        raise NeurosimInputError(
            "--device: must be cpu, because torch finds no CUDA device (got cuda); leave --device out"
        )


def complete_dataset(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of datasets that begin so, for the shell."""
    from ....data import catalog

    return [name for name in catalog.names() if name.startswith(incomplete)]


def at_least(minimum: int, rule: str) -> Callable[[click.Context, click.Parameter, int | None], int | None]:
    """Return a callback of an option that refuses integers below `minimum` with `rule`."""

    def check(context: click.Context, parameter: click.Parameter, value: int | None) -> int | None:
        require(value is None or value >= minimum, parameter.opts[0], rule, value)
        return value

    return check


def check_resume(options: CommandOptions, *decided: object) -> None:
    """Refuse options that decide the results beside `--resume`: the run has its own settings.

    Args:
        decided: further arguments of that kind; None where the user gave none.
    """
    shown = "--show-config" if options.show_config else None
    every = (*decided, shown, *options.given.values(), options.config, options.out, *options.sets)
    words = ", ".join(str(value) for value in every if value is not None)
    require(not words, "--resume", "cannot be combined with options that change the result; leave them out", words)


def refuse_options(options: CommandOptions, *names: str) -> None:
    """Raise for an option that has no effect on the command."""
    for name in names:
        if getattr(options, name) not in (None, ()):
            flag = "set" if name == "sets" else name
            raise NeurosimInputError(f"--{flag}: this command has no use for it; leave it out")


def needs_dataset(options: CommandOptions) -> None:
    """Raise unless a dataset is given as an argument, or settings are, which may name it."""
    if options.given["data.name"] is None and options.config is None and not options.sets:
        raise click.UsageError(
            "no DATASET given; a folder of recordings, or a name of 'neurosim datasets list', e.g. digits"
        )


def _with_dataset(options: CommandOptions, default: str) -> CommandOptions:
    """Return options with a default dataset, where neither they nor a file name one."""
    from .config import sources_of
    from .settings import merge

    data = merge(sources_of(options.config, options.sets, options.given)).get("data", {})
    if not isinstance(data, Mapping) or "name" in data:
        return options
    return replace(options, given={**options.given, "data.name": default})


def setting(flag: str, key: str, **attributes: Any) -> Callable[[Command], Command]:
    """Return an option that gives a setting of the config: `options.given[key]`, where `key` is dotted."""
    return click.option(flag, _parameter(key), **attributes)


def count(flag: str, key: str, text: str, unit: str = "") -> Callable[[Command], Command]:
    """Return the option of a setting that is a number of at least 1.

    Args:
        text: its line of help.
        unit: named in errors.
    """
    return setting(flag, key, type=int, callback=at_least(1, f"must be >= 1 {unit}".rstrip()), metavar="N", help=text)


def setting_argument(key: str, metavar: str, **attributes: Any) -> Callable[[Command], Command]:
    """Return an argument, which may be left out, that gives a setting of the config."""
    return click.argument(_parameter(key), metavar=metavar, required=False, **attributes)


def dataset_argument() -> Callable[[Command], Command]:
    """Return the argument [DATASET], which gives the setting `data.name`, or is a folder of recordings."""
    return setting_argument("data.name", "[DATASET]", shell_complete=complete_dataset)


def _parameter(key: str) -> str:
    """Return the name of the parameter that gives a setting; click wants an identifier."""
    return _SETTING + key.replace(".", "__")


def _key(parameter: str) -> str:
    return parameter.removeprefix(_SETTING).replace("__", ".")


def resume_option(text: str) -> Callable[[Command], Command]:
    """Return the option `--resume RUN`."""
    return click.option("--resume", "resumed", type=click.Path(path_type=Path), metavar="RUN", help=text)


show_config = click.option(
    "--show-config", is_flag=True, help="Print all settings of the run as TOML (with --json: as JSON), and stop."
)
PROFILE = setting("--profile", "energy.profile", metavar="NAME", help="Energy profile.")


def _common_options(devices: Sequence[str], without: Sequence[str]) -> tuple[Callable[[Command], Command], ...]:
    """Return the options that every command has; those without an effect are hidden."""
    threads = "Threads; default all. The spikes are the same for any number."

    def option(*flags: str, name: str, **attributes: Any) -> Callable[[Command], Command]:
        return click.option(*flags, hidden=name in without, **attributes)

    return (
        option("--config", name="config", type=click.Path(path_type=Path), metavar="FILE", help="Settings in TOML."),
        option(
            "--set",
            "sets",
            name="sets",
            multiple=True,
            metavar="KEY=VALUE",
            help="One setting, e.g. liquid.neurons=500; repeatable.",
        ),
        option(
            "--seed",
            name="seed",
            type=int,
            callback=at_least(0, "must be >= 0"),
            help="Seed of everything random: same seed, same run.",
        ),
        option("--out", name="out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for what is written."),
        plugin_option(),
        click.option("--json", is_flag=True, help="Print JSON on stdout, and everything else on stderr."),
        click.option(
            "--device",
            default="cpu",
            show_default=True,
            metavar="NAME",
            hidden=devices == CPU,
            help=f"Where to compute: {' or '.join(devices)}.",
        ),
        option("--threads", name="threads", type=int, callback=at_least(1, "must be >= 1"), help=threads),
        click.option("--quiet", is_flag=True, help="No progress bars and no remarks."),
    )


# Options that only some commands have.
_SOME = ("show_config", "resumed", "logs")
_NAMES = ("config", "sets", "seed", "out", "json", "device", "threads", "quiet")
