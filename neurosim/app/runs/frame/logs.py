"""Logs of a training in its run folder, row by row while it trains: a CSV file, and event files of TensorBoard."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ....base.atomic import write_text
from ....base.distribution import install
from ....base.errors import NeurosimMissingError, lookup

CSV = "csv"
TENSORBOARD = "tensorboard"
Row = tuple[int, Mapping[str, float | None]]  # a step, and its numbers by name; None where there is none


class CsvLog:
    """The file `log.csv`: `step` and a column for each number."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.csv"

    def write(self, rows: Sequence[Row], known: int) -> None:
        """Write all rows; the first `known` were written before."""
        # A column for each name in order of appearance. The file is replaced as a whole: no reader meets half a line.
        names = list(dict.fromkeys(name for _, values in rows for name in values))
        lines = [",".join(["step", *names])]
        lines += [",".join([str(step), *(_text(values.get(name)) for name in names)]) for step, values in rows]
        write_text(self.path, "\n".join(lines) + "\n")

    def close(self) -> None:
        """Do nothing: the file is complete after each `write`."""


class TensorBoardLog:
    """Event files in the folder `log`. A resumed training replaces the files of an interrupted one: it writes all rows.

    Raises:
        NeurosimMissingError: as `check_logs`.
    """

    def __init__(self, folder: Path, name: str) -> None:
        make = _summary_writer()
        shutil.rmtree(folder / name, ignore_errors=True)
        self.writer = make(str(folder / name))

    def write(self, rows: Sequence[Row], known: int) -> None:
        """Write the rows after the first `known`, which were written before."""
        for step, values in rows[known:]:
            for name, value in values.items():
                if value is not None:
                    self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        """End the event file."""
        self.writer.close()


LOGS: Mapping[str, type[CsvLog | TensorBoardLog]] = {CSV: CsvLog, TENSORBOARD: TensorBoardLog}
log_option = click.option(
    "--log",
    "logs",
    multiple=True,
    type=click.Choice(list(LOGS)),
    help="Also log the training in its run folder: log.csv, or log/ for TensorBoard. Repeatable.",
)


@contextmanager
def training_logs(formats: Sequence[str], folder: Path, name: str = "log") -> Iterator[Callable[[Sequence[Row]], None]]:
    """Open logs in a run folder; yield a function that writes all rows so far, of which the last ones are new.

    Raises:
        NeurosimInputError: no such format.
        NeurosimMissingError: as `check_logs`.
        NeurosimWriteError: a file cannot be written.
    """
    logs = [lookup(LOGS, each, "log")(folder, name) for each in dict.fromkeys(formats)]
    known = 0

    def write(rows: Sequence[Row]) -> None:
        nonlocal known
        if len(rows) > known:
            for log in logs:
                log.write(rows, known)
            known = len(rows)

    try:
        yield write
    finally:
        for log in logs:
            log.close()


def check_logs(formats: Sequence[str]) -> None:
    """Raise NeurosimMissingError where TensorBoard is among the formats and not installed; call it before a run."""
    if TENSORBOARD in formats:
        _summary_writer()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise NeurosimMissingError(
            f"--log {TENSORBOARD}: needs tensorboard ({error}); run: {install('tensorboard')}"
        ) from None
    return SummaryWriter


def _text(value: float | None) -> str:
    # Nine digits tell any two float32 apart.
    return "" if value is None else f"{value:.9g}"
