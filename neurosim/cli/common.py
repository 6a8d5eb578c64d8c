"""The options every command takes, and the one place where results are printed."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..errors import NeurosimError, NeurosimInputError, require

CPU = ("cpu",)


@dataclass(frozen=True)
class Options:
    """What the common options said; None where they were left out."""

    config: Path | None
    sets: tuple[str, ...]
    seed: int | None
    out: Path | None
    json: bool
    device: str
    threads: int | None
    quiet: bool

    def say(self, line: str) -> None:
        """A remark on stderr, unless `--quiet`."""
        if not self.quiet:
            click.echo(line, err=True)


@dataclass(frozen=True)
class Answer:
    """What a command found: `data` is printed under `--json`, `text` otherwise.

    Where `failure` says something, it follows on stderr and the exit code is 1.
    """

    data: Mapping[str, Any]
    text: str
    failure: str = ""


def common(devices: Sequence[str] = CPU) -> Callable[[Callable[..., Answer]], Callable[..., None]]:
    """A decorator: the wrapped function gets `options: Options` first, returns an `Answer`, and prints nothing.

    Under `--json`, whatever a library prints on stdout meanwhile goes to stderr.
    """

    def decorate(function: Callable[..., Answer]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**given: Any) -> None:
            options = Options(**{name: given.pop(name) for name in Options.__dataclass_fields__})
            _check_device(options.device, devices)
            with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
                answer = function(options, **given)
            click.echo(to_json(answer.data) if options.json else answer.text)
            if answer.failure:
                raise NeurosimError(answer.failure)

        for option in reversed(_OPTIONS):
            command = option(command)
        return command

    return decorate


def to_json(data: Mapping[str, Any]) -> str:
    """Strict JSON: no NaN, numpy numbers and paths as plain ones."""
    return json.dumps(data, indent=2, allow_nan=False, default=_plain)


def table(rows: Iterable[tuple[str, str]], title: str = "") -> str:
    """Aligned `name  value` lines."""
    lines = list(rows)
    width = max((len(name) for name, _ in lines), default=0)
    head = [title] if title else []
    return "\n".join(head + [f"  {name:<{width}}  {value}".rstrip() for name, value in lines])


def _check_device(device: str, devices: Sequence[str]) -> None:
    if device not in devices:
        raise NeurosimInputError(
            f"--device: this command runs on {' or '.join(devices)} only (got {device}); leave --device out"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


def complete_dataset(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of datasets that begin so, for the shell."""
    from .. import catalog

    return [name for name in catalog.datasets() if name.startswith(incomplete)]


def whole(rule: str, least: int) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback of an option: a whole number that breaks `rule` when it is below `least`."""

    def at_least(context: click.Context, parameter: click.Parameter, value: int | None) -> int | None:
        require(value is None or value >= least, parameter.opts[0], rule, value)
        return value

    return at_least


_OPTIONS = (
    click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings in TOML."),
    click.option(
        "--set", "sets", multiple=True, metavar="KEY=VALUE", help="One setting, e.g. liquid.neurons=500; repeatable."
    ),
    click.option(
        "--seed", type=int, callback=whole("must be >= 0", 0), help="Seed of everything random: same seed, same run."
    ),
    click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for what is written."),
    click.option("--json", is_flag=True, help="Print JSON on stdout, and everything else on stderr."),
    click.option("--device", default="cpu", show_default=True, metavar="NAME", help="Where to compute."),
    click.option(
        "--threads",
        type=int,
        callback=whole("must be >= 1", 1),
        help="Threads; default all. The spikes are the same for any number.",
    ),
    click.option("--quiet", is_flag=True, help="No progress bars and no remarks."),
)
