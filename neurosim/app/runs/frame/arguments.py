"""Options and arguments of commands for click: options of every command, and settings of the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from ....base.errors import NeurosimInputError, require
from .plugin_option import plugin_option

CPU = ("cpu",)
CPU_OR_CUDA = ("cpu", "cuda")  # of commands whose models run in torch and Triton
RUNS = Path("runs")  # the folder that runs are written to
_SETTING = "setting__"  # begins the names of parameters that are settings
LIKE = "Dataset whose settings to take, e.g. nmnist; default by the sensor."
SKIP_BAD = "Leave out files that cannot be read; the run's page names them."
Command = TypeVar("Command", bound=Callable[..., Any])
Check = Callable[[click.Context, click.Parameter, "int | None"], "int | None"]


class SectionOption(click.Option):
    """An option that the help lists below a heading of its own.

    Attributes:
        section: the heading.
    """

    def __init__(self, *arguments: Any, section: str, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.section = section


def setting(flag: str, key: str, **attributes: Any) -> Callable[[Command], Command]:
    """Return an option that gives a setting of the config: `options.settings[key]`, where `key` is dotted."""
    return click.option(flag, _parameter(key), **attributes)


def run_argument(name: str, **attributes: Any) -> Callable[[Command], Command]:
    """Return an argument that is the folder of a run, or of several runs: a path, or a name below `RUNS`."""
    return click.argument(name, type=click.Path(path_type=Path), callback=_run_path, **attributes)


def _run_path(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Return the folders of runs, each given by its path or by its name below `RUNS`; a callback."""
    from .folder import MANIFEST

    def path_of(given: Path) -> Path:
        below = RUNS / given
        # A folder of this name here comes first.
        if not given.exists() and (below / MANIFEST).is_file():
            return below
        return given

    if isinstance(value, tuple):
        return tuple(path_of(given) for given in value)
    return path_of(value)


def count(flag: str, key: str, text: str, unit: str = "", **attributes: Any) -> Callable[[Command], Command]:
    """Return the option of a setting that is a number of at least 1.

    Args:
        text: its line of help.
        unit: named in errors.
        attributes: of the option.
    """
    rule = at_least(1, f"must be >= 1 {unit}".rstrip())
    return setting(flag, key, type=int, callback=rule, metavar="N", help=text, **attributes)


def several(flag: str, key: str, metavar: str, text: str, **attributes: Any) -> Callable[[Command], Command]:
    """Return the option of a setting that is a list of texts; it may be repeated.

    Args:
        text: its line of help.
        attributes: of the option.
    """

    def listed(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str] | None:
        # None where the user gave none: the list of a file then stays.
        return list(values) or None

    help = f"{text} Repeatable."
    return setting(flag, key, multiple=True, callback=listed, metavar=metavar, help=help, **attributes)


def integers(context: click.Context, parameter: click.Parameter, text: str | None) -> list[int] | None:
    """Return the integers between commas, a callback."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise NeurosimInputError(f"{parameter.opts[0]}: must be integers such as 1,5,20 (got {text})") from None


def numbers_of(form: str, count: int | None = None) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return a callback of an option: numbers of pixels between commas, or x, as a tuple.

    Args:
        form: what the text must read, with an example.
        count: how many there must be; None: any number of them.
    """

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
        if text is None:
            return None
        parts = text.replace("x", ",").split(",")
        if not all(part.strip().isdecimal() for part in parts) or count not in (None, len(parts)):
            raise NeurosimInputError(f"{parameter.opts[0]}: must read {form} (got {text})")
        return tuple(int(part) for part in parts)

    return read


def setting_argument(key: str, metavar: str, **attributes: Any) -> Callable[[Command], Command]:
    """Return an argument, which may be left out, that gives a setting of the config."""
    return click.argument(_parameter(key), metavar=metavar, required=False, **attributes)


def dataset_argument() -> Callable[[Command], Command]:
    """Return the argument [DATASET], which gives the setting `data.name`, or is a folder, `--like` and `--skip-bad`."""
    argument = setting_argument("data.name", "[DATASET]", shell_complete=complete_dataset)
    like = setting("--like", "data.like", metavar="NAME", shell_complete=complete_dataset, help=LIKE)
    skip_bad = setting("--skip-bad", "data.options.skip_bad", is_flag=True, default=None, help=SKIP_BAD)
    return lambda command: argument(like(skip_bad(command)))


def resume_option(text: str) -> Callable[[Command], Command]:
    """Return the option `--resume RUN`."""
    return click.option("--resume", "resumed", type=click.Path(path_type=Path), metavar="RUN", help=text)


def take_settings(values: dict[str, Any]) -> dict[str, object]:
    """Remove the settings from the arguments that click passes to a command; return them by dotted key."""
    keys: Mapping[str, str] = {name: _key(name) for name in values if name.startswith(_SETTING)}
    return {key: values.pop(name) for name, key in keys.items()}


def _parameter(key: str) -> str:
    """Return the name of the parameter that gives a setting; click wants an identifier."""
    # Keys have single underscores only, so that two always stand for a dot.
    return _SETTING + key.replace(".", "__")


def _key(parameter: str) -> str:
    """Return the dotted key of a setting, the inverse of `_parameter`."""
    return parameter.removeprefix(_SETTING).replace("__", ".")


def at_least(minimum: int, rule: str) -> Check:
    """Return a callback of an option that refuses integers below `minimum` with `rule`."""

    def check(context: click.Context, parameter: click.Parameter, value: int | None) -> int | None:
        require(value is None or value >= minimum, parameter.opts[0], rule, value)
        return value

    return check


def as_fraction(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Return the fraction of an option, a callback: 1% or 0.01.

    Raises:
        NeurosimInputError: neither a number nor one of percent.
    """
    if value is None:
        return None
    try:
        if value.endswith("%"):
            return float(value[:-1]) / 100
        return float(value)
    except ValueError:
        raise NeurosimInputError(
            f"{parameter.opts[0]}: must be a fraction such as 1% or 0.01 (got {value!r})"
        ) from None


def complete_dataset(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of datasets that begin with `incomplete`, for the shell."""
    from ....data import catalog

    return [name for name in catalog.names() if name.startswith(incomplete)]


show_config = click.option(
    "--show-config", is_flag=True, help="Print all settings as TOML (with --json: as JSON), and stop."
)
COSTS = "Energy estimates: horowitz45 (default), jouppi7, loihi2, FILE.toml."
PROFILE = setting("--profile", "energy.profile", metavar="NAME", help=COSTS)
# Fields of `CommandOptions` with an option in every command, and fields with one in some commands only.
COMMON = ("config", "sets", "seed", "out", "json", "device", "threads", "quiet")
OPTIONAL = ("show_config", "resumed", "logs")
# Parameters that the help of every command has in a section of their own.
SHARED = (*COMMON, "plugin")


def common_options(devices: Sequence[str], without: Sequence[str]) -> tuple[Callable[[Command], Command], ...]:
    """Return the options of `COMMON`.

    Args:
        devices: that the command can run on; where there is only one, the option is not in its help.
        without: names of options without an effect on the command, which are not in its help.
    """

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
            help="One setting; repeatable. 'neurosim schema' has the keys.",
        ),
        option(
            "--seed",
            name="seed",
            type=int,
            callback=at_least(0, "must be >= 0"),
            help="Key of every random draw: the same seed gives the same run.",
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
        option(
            "--threads",
            name="threads",
            type=int,
            callback=at_least(1, "must be >= 1"),
            help="Threads; default all. Simulated spikes are the same for any number.",
        ),
        click.option("--quiet", is_flag=True, help="No progress bars and no remarks."),
    )
