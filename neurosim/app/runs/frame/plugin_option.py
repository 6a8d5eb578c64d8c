"""The option `--plugin FILE.py`, light enough for `neurosim --help`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ....base import plugins

Command = TypeVar("Command", bound=Callable[..., Any])


def _run(context: click.Context, parameter: click.Parameter, paths: tuple[Path, ...]) -> None:
    """Run the files of `--plugin`, before other options are read."""
    plugins.run_files(paths)


def plugin_option() -> Callable[[Command], Command]:
    """Return the option `--plugin FILE.py`."""
    return click.option(
        "--plugin",
        multiple=True,
        type=click.Path(path_type=Path),
        callback=_run,
        is_eager=True,
        expose_value=False,
        metavar="FILE.py",
        help="Run a Python file of your own, whose PLUGINS become known; repeatable.",
    )
