"""`neurosim view FILE|RUN`: recordings, played on a page."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...base.errors import NeurosimInputError
from ..runs.frame.arguments import numbers_of
from ..runs.frame.command import Command, CommandResult, common
from ..runs.frame.command_options import CommandOptions

if TYPE_CHECKING:
    from ...data.files.formats import ReadOptions


def _start(context: click.Context, parameter: click.Parameter, text: str | None) -> float | str | None:
    if text is None or text in ("first", "file"):
        return text
    try:
        return float(text)
    except ValueError:
        raise NeurosimInputError(f"--start: must be first, file or seconds (got {text})") from None


_sensor = numbers_of("P,Y,X, e.g. 2,34,34")
_crop = numbers_of("X,Y,W,H, e.g. 0,0,640,480", count=4)
# One option for each field of `ReadOptions`, and by its name.
READING = (
    click.option("--format", metavar="NAME", help="Format of the file; default by its first bytes or suffix."),
    click.option("--clock", metavar="NAME", help="How an EVT3 recording counts time: camera (default) or running."),
    click.option(
        "--camera", metavar="NAME", help="Camera of an AEDAT2 recording, e.g. dvs128-tonic; default by its header."
    ),
    click.option("--tick", type=float, metavar="SECONDS", help="Unit of time of a table."),
    click.option("--columns", metavar="ORDER", help="Order of the columns of a table, e.g. xypt."),
    click.option("--shape", callback=_sensor, metavar="P,Y,X", help="Sensor: polarities, height, width; or channels."),
    click.option("--until-fault", is_flag=True, default=None, help="Read a damaged or cut file up to its first fault."),
    click.option(
        "--crop", callback=_crop, metavar="X,Y,W,H", help="Part of the sensor: left, top, width, height, in pixels."
    ),
    click.option(
        "--noise-filter",
        type=float,
        metavar="SECONDS",
        help="Drop events without an event of a neighbouring pixel in the time before.",
    ),
    click.option("--downsample", type=int, metavar="N", help="Join N x N pixels into one."),
    click.option("--refractory", type=float, metavar="SECONDS", help="Silence of a pixel after an event."),
    click.option("--population", metavar="NAME", help="Population of a SONATA file, or topic of a bag."),
)


def reading_options(function: Callable[..., CommandResult]) -> Callable[..., CommandResult]:
    """Give a command the options `READING`, which it takes together: `reading`, the `ReadOptions`."""

    @functools.wraps(function)
    def command(options: CommandOptions, **values: Any) -> CommandResult:
        from ...data.files.formats import ReadOptions

        chosen = {field.name: values.pop(field.name) for field in fields(ReadOptions)}
        return function(options, reading=ReadOptions(**chosen), **values)

    # click lists options in the reverse order of their decorators.
    for option in reversed(READING):
        command = option(command)
    return command


@click.command(cls=Command)
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE|RUN")
@click.option("--gif", type=click.Path(path_type=Path), metavar="FILE", help="Also write the recording as a GIF.")
@click.option(
    "--start", callback=_start, metavar="WHERE", help="Time 0: first (event), file, or seconds on the file's clock."
)
@common(without=("config", "sets", "seed", "threads"))
@reading_options
def command(
    options: CommandOptions, path: Path, gif: Path | None, start: float | str | None, reading: ReadOptions
) -> CommandResult:
    """Write a page that plays the recording in FILE, or the recordings that RUN stored, with rate and sensor.

    \b
    neurosim view walk.raw
    neurosim view runs/x --out walk.html

    The page goes into the current folder, into the folder --out, or is the file --out, which then ends in .html.
    """
    from ..runs.frame.view import read_view, write_view, write_view_gif

    view = read_view(path, reading, start)
    written = [str(write_view(view, options.out))]
    if gif is not None:
        write_view_gif(view, gif)
        written.append(str(gif))
    recordings = [{"name": each.name, **dict(each.facts()), "remarks": list(each.remarks)} for each in view.shown]
    lines = [line for each in view.shown for line in _lines(each.name, each.facts(), each.remarks)]
    data = {"page": written[0], "gif": gif and str(gif), "recordings": recordings}
    return CommandResult(data, "\n".join([*lines, *written]))


def _lines(name: str, facts: list[tuple[str, str]], remarks: tuple[str, ...]) -> list[str]:
    return [f"{name}: {', '.join(f'{key} {value}' for key, value in facts)}", *(f"  {line}" for line in remarks)]
