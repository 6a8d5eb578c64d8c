"""`neurosim view FILE|RUN`: recordings, played on a page."""

from __future__ import annotations

from pathlib import Path

import click

from ...base.errors import NeurosimInputError
from ..runs.frame.command import Command, CommandResult, common
from ..runs.frame.command_options import CommandOptions


@click.command(cls=Command)
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE|RUN")
@click.option("--gif", type=click.Path(path_type=Path), metavar="FILE", help="Also write the recording as a GIF.")
@click.option("--format", metavar="NAME", help="Format of the file; default by its first bytes or suffix.")
@click.option("--start", metavar="WHERE", help="Time 0: first (event), file, or seconds on the file's clock.")
@click.option("--clock", metavar="NAME", help="Of an EVT3 recording: camera (default) or running.")
@click.option("--camera", metavar="NAME", help="Of an AEDAT2 recording, e.g. dvs128-tonic; default by its header.")
@click.option("--tick", type=float, metavar="SECONDS", help="Unit of time of a table.")
@click.option("--columns", metavar="ORDER", help="Order of the columns of a table, e.g. xypt.")
@click.option("--shape", metavar="P,Y,X", help="Sensor: polarities, height, width; or channels.")
@click.option("--until-fault", is_flag=True, help="Read a damaged or cut file up to its first fault.")
@click.option("--crop", metavar="X,Y,W,H", help="Part of the sensor: left, top, width, height, in pixels.")
@click.option("--noise-filter", type=float, metavar="SECONDS", help="Drop events without a neighbour's that recent.")
@click.option("--downsample", type=int, metavar="N", help="Join N x N pixels.")
@click.option("--refractory", type=float, metavar="SECONDS", help="Silence of a pixel after an event.")
@click.option("--population", metavar="NAME", help="Of a SONATA file.")
@common(without=("config", "sets", "seed", "threads"))
def command(
    options: CommandOptions,
    path: Path,
    gif: Path | None,
    format: str | None,
    start: str | None,
    clock: str | None,
    camera: str | None,
    tick: float | None,
    columns: str | None,
    shape: str | None,
    population: str | None,
    until_fault: bool,
    crop: str | None,
    noise_filter: float | None,
    downsample: int | None,
    refractory: float | None,
) -> CommandResult:
    """Write a page that plays the recording in FILE, or the recordings that RUN stored, with rate and sensor.

    The page goes into the current folder, into the folder --out, or is the file --out, which then ends in .html.
    """
    from ...data.files.formats import ReadOptions
    from ..runs.frame.view import read_view, write_view, write_view_gif

    reading = ReadOptions(
        format=format,
        shape=_numbers("--shape", "P,Y,X, e.g. 2,34,34", shape),
        clock=clock,
        camera=camera,
        tick=tick,
        columns=columns,
        population=population,
        until_fault=until_fault or None,
        crop=_crop(crop),
        noise_filter=noise_filter,
        downsample=downsample,
        refractory=refractory,
    )
    view = read_view(path, reading, _start(start))
    page = write_view(view, options.out)
    if gif is not None:
        write_view_gif(view, gif)
    written = [str(page)]
    if gif is not None:
        written.append(str(gif))
    recordings = [{"name": each.name, **dict(each.facts()), "remarks": list(each.remarks)} for each in view.shown]
    lines = [line for each in view.shown for line in _lines(each.name, each.facts(), each.remarks)]
    return CommandResult(
        {"page": str(page), "gif": gif and str(gif), "recordings": recordings}, "\n".join([*lines, *written])
    )


def _lines(name: str, facts: list[tuple[str, str]], remarks: tuple[str, ...]) -> list[str]:
    return [f"{name}: {', '.join(f'{key} {value}' for key, value in facts)}", *(f"  {line}" for line in remarks)]


def _numbers(flag: str, form: str, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = text.replace("x", ",").split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise NeurosimInputError(f"{flag}: must read {form} (got {text})")
    return tuple(int(part) for part in parts)


def _crop(text: str | None) -> tuple[int, int, int, int] | None:
    form = "X,Y,W,H, e.g. 0,0,640,480"
    numbers = _numbers("--crop", form, text)
    if numbers is None:
        return None
    if len(numbers) != 4:
        raise NeurosimInputError(f"--crop: must read {form} (got {text})")
    left, top, width, height = numbers
    return left, top, width, height


def _start(text: str | None) -> float | str | None:
    if text is None or text in ("first", "file"):
        return text
    try:
        return float(text)
    except ValueError:
        raise NeurosimInputError(f"--start: must be first, file or seconds (got {text})") from None
