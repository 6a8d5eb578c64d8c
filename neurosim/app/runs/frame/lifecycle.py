"""The life of a run: a new folder or an interrupted one, the work, results written last, the end, the page."""

from __future__ import annotations

import logging
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ....base import plugins
from ....base.errors import NeurosimInputError, escaped
from ....base.json_toml import write_json
from ....base.measure.meter import EnergyMeter, MeasuredEnergy
from ....data import catalog
from . import registry
from .config import Data, RunConfig
from .finished import write_page
from .folder import METRICS, RunFolder, open_run, read_metrics
from .kind import Inputs, Kind, Run, RunResult
from .logs import check_logs
from .options import DEFAULTS, RunOptions
from .recorder import record, reopen, resumable, without_none
from .timings import Timings, limit_threads

log = logging.getLogger(__name__)

C = TypeVar("C")
T = TypeVar("T")
R = TypeVar("R", bound=RunResult)


def start(kind: Kind[C, T, R], config: C, options: RunOptions = DEFAULTS, name: str | None = None) -> R:
    """Run, write a run folder, and return the results.

    Args:
        config: decides the results; the options do not.
        name: of the run; None: the kind names it.

    Raises:
        NeurosimError: what is wrong with the data, a setting or the disk. An error before the work begins leaves no
            folder behind; the manifest of the folder names a later one.
        NeurosimInterruptedError: Ctrl-C, where the kind can continue; `resume` continues.
        ConfigShown: in place of the run, where the options ask for its settings.
    """
    options.check_out()
    check_logs(options.logs)
    if options.show_config:
        options.show(without_none(kind.shown(config)))
    settings = kind.settings(config)
    timings = Timings()
    # Everything that can be refused is read and checked before a folder is made.
    inputs = _load(kind, config, options, timings)
    kind.check(config, inputs.value)
    with (
        record(settings, name or kind.run_name(config), options.out, options.command, options.say) as folder,
        _interruptible(kind, folder),
        limit_threads(options.threads),
    ):
        # A manifest that names no kind is of a run through a liquid.
        if kind.name != registry.UNNAMED:
            folder.note(kind=kind.name)
        _note_reading(folder, kind.remarks(config), options)
        _note_reason(folder, config, options)
        folder.note(**options.facts)
        return _finish(
            kind, Run(folder=folder, config=config, inputs=inputs.value, options=options, time=timings), inputs
        )


def resume(kind: Kind[C, T, R], path: Path, options: RunOptions = DEFAULTS) -> R:
    """Continue a run that was interrupted or killed, from what its folder holds.

    Returns:
        What the uninterrupted run would have returned, apart from wall-clock times.

    Raises:
        NeurosimMissingError: there is no run.
        NeurosimInputError: it is of another kind, is done or never began; its settings or data were changed; another
            process is writing into its folder.
        NeurosimError, NeurosimInterruptedError: as `start`.
    """
    check_logs(options.logs)
    folder = open_to_resume(kind, path)
    kind = kind.of(folder)
    config = kind.stored(folder)
    timings = Timings()
    with reopen(folder, options.command), _interruptible(kind, folder):
        inputs = _load(kind, config, options, timings)
        # Compared before they are checked: that a file was changed is the cause, that it does not fit the consequence.
        kind.check_unchanged(folder, inputs)
        kind.check(config, inputs.value)
        with limit_threads(options.threads):
            return _finish(
                kind, Run(folder=folder, config=config, inputs=inputs.value, options=options, time=timings), inputs
            )


def follow(kind: Kind[C, T, R], config: C, options: RunOptions, folder: RunFolder | None = None) -> None:
    """Do the part of a process that shares a run and does not lead.

    Args:
        folder: of the run that is resumed; None: a new one.

    Raises:
        NeurosimError: as `start`.
    """
    inputs = _load(kind, config, options, Timings())
    with limit_threads(options.threads):
        kind.follow(config, inputs.value, options, folder)


def open_to_resume(kind: Kind[Any, Any, Any], path: Path) -> RunFolder:
    """Return a folder whose run is of that kind.

    Raises:
        NeurosimMissingError: there is no run.
        NeurosimInputError: it is of another kind; the error names the command that continues it.
    """
    folder = open_run(path)
    plugins.check_provenance(path, folder.manifest.facts.get("plugins"))
    # Kinds of one command differ in their class: a curve is no conversion.
    own = registry.kind_of(folder)
    if type(own) is not type(kind):
        if own.resumed_by:
            hint = f"continue with: neurosim {own.resumed_by} --resume {shlex.quote(str(path))}"
        else:
            hint = "run it again"
        raise NeurosimInputError(f"{path}: holds {own.title}, not {kind.title}; {hint}")
    return folder


def _load(kind: Kind[C, T, R], config: C, options: RunOptions, timings: Timings) -> Inputs[T]:
    # Loading imports torch where a kind needs it, so that only later limits reach its threads.
    with limit_threads(options.threads), timings("load"):
        return kind.load(config, options)


def _note_reading(folder: RunFolder, remarks: Sequence[str], options: RunOptions) -> None:
    """Say and note how the files of a dataset are read."""
    for remark in remarks:
        options.say(remark)
    if remarks:
        folder.note(reading=remarks)


def _note_reason(folder: RunFolder, config: object, options: RunOptions) -> None:
    """Note why the settings that the user left out are as they are; say it for recordings of the user's own.

    Say which part of a dataset is learned, where the defaults take a part.
    """
    if not isinstance(config, RunConfig):
        return
    if part := config.part():
        options.say(part)
    reason = config.reason()
    if reason:
        folder.note(settings_reason=reason)
    data = getattr(config, "data", None)
    if reason and isinstance(data, Data) and (data.name == catalog.FOLDER or data.like is not None):
        options.say(reason)


def _finish(kind: Kind[C, T, R], run: Run[C, T], inputs: Inputs[T]) -> R:
    """Return the results of a run and end it: results, then the manifest, then the page."""
    folder = run.folder
    kind.prepare(run)
    # With its data the run has begun and can be resumed.
    folder.note(threads=run.options.threads, **inputs.facts, **({} if inputs.data is None else {"data": inputs.data}))
    # A run that was killed after its results, and before its end, has nothing to compute again.
    result = _results(kind, folder)
    if result is None:
        with EnergyMeter() as meter:
            result = kind.work(run)
        measured = _since_resumed(meter.measured, folder)
        result = replace(result, run=str(folder.path), timings=run.time.with_total(), measured_energy=measured)
        write_json(folder.path / METRICS, result.to_dict())
    folder.note(**result.notes())
    _clear(kind, folder.path)
    reason = result.failure()
    status = "done" if reason is None else "failed"
    folder.close(status, reason)
    log.info("%s is %s after %.2f s", escaped(str(folder.path)), status, result.timings.get("total", 0.0))
    write_page(folder.path)
    # Last, when the run is done: a file elsewhere that cannot be written is no failure of the run.
    kind.export(run, result)
    return result


def _since_resumed(measured: MeasuredEnergy, folder: RunFolder) -> MeasuredEnergy:
    """Return a measured energy; of a run that was resumed it says that the part before is not in it."""
    if measured.total is None or not folder.manifest.resumed:
        return measured
    return replace(measured, note="only since the run was resumed")


def _clear(kind: Kind[Any, Any, Any], folder: Path) -> None:
    """Remove what was needed to continue; the results are on the disk."""
    for pattern in kind.unfinished:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _results(kind: Kind[C, T, R], folder: RunFolder) -> R | None:
    """Return the results in the folder of a run that was killed between its results and its end; None without.

    Results are written last and in one step. Those that count as failed are made again.
    """
    if not (folder.path / METRICS).is_file():
        return None
    result = kind.result.from_dict(read_metrics(folder))
    return result if result.failure() is None else None


@contextmanager
def _interruptible(kind: Kind[Any, Any, Any], folder: RunFolder) -> Iterator[None]:
    if not kind.resumed_by:
        yield
        return
    with resumable(folder, kind.resumed_by):
        yield
