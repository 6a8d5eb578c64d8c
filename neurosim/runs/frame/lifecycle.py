"""The life of a run: a new folder or an interrupted one, results written last, the end, the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ... import files, plugins
from ...data import catalog
from ...errors import NeurosimInputError
from . import registry
from .finished import write_page
from .folder import METRICS, RunFolder, open_run, read_metrics, record, reopen, resumable, without_none
from .kind import Kind, RunResult
from .options import RunOptions
from .timings import Timings

R = TypeVar("R", bound=RunResult)


@contextmanager
def new_run(
    kind: Kind[Any], config: Mapping[str, object], name: str, options: RunOptions, **facts: Any
) -> Iterator[RunFolder]:
    """Make a run folder; inside the context the run works, and ends it with `finish`.

    Args:
        config: all settings, as they will be written.
        name: what runs, for the folder's name and the manifest.
        facts: what the manifest notes besides; with its `data` the run has begun and can be resumed.

    Raises:
        NeurosimInputError: the folder holds files that are no run, is a file, or is in use by another run.
        NeurosimWriteError: it could not be made.
        NeurosimInterruptedError: Ctrl-C, where the kind can continue.
        ConfigShown: in place of the run, where the options ask for its settings.
    """
    options.show(without_none(config))
    with record(config, name, options.out, options.command, options.say) as folder, _interruptible(kind, folder):
        reading = _reading(config.get("data"))
        for remark in reading:
            options.say(remark)
        noted = {"reading": reading} if reading else {}
        folder.note(**({} if kind.name == registry.UNNAMED else {"kind": kind.name}), **noted, **options.facts, **facts)
        yield folder


def _reading(data: object) -> tuple[str, ...]:
    """Return what is to be said of the files of a dataset, where a config has one."""
    if not isinstance(data, Mapping) or "name" not in data:
        return ()
    return catalog.describe(data["name"], data.get("root"), data.get("options")).remarks


def open_to_resume(kind: Kind[Any], path: Path) -> RunFolder:
    """Return a folder whose run is of that kind.

    Raises:
        NeurosimMissingError: there is no run.
        NeurosimInputError: it is of another kind; the error names the command that continues it.
    """
    folder = open_run(path)
    plugins.check_provenance(path, folder.manifest.facts.get("plugins"))
    found = registry.kind_of(folder)
    if found.name != kind.name:
        hint = f"continue with: neurosim {found.resume} --resume {path}" if found.resume else "run it again"
        raise NeurosimInputError(f"{path}: holds {found.title}, not {kind.title}; {hint}")
    return folder


@contextmanager
def resumed_run(kind: Kind[Any], folder: RunFolder, options: RunOptions) -> Iterator[RunFolder]:
    """Continue a run that was interrupted or killed; the context is that of `new_run`.

    Raises:
        NeurosimInputError: it is done or never began, its config was changed, or another run is writing into it.
        NeurosimInterruptedError: Ctrl-C.
    """
    with reopen(folder, options.command), _interruptible(kind, folder):
        yield folder


def finish(
    kind: Kind[Any],
    folder: RunFolder,
    work: Callable[[], R],
    timings: Timings | None = None,
    clear: Callable[[], object] = lambda: None,
) -> R:
    """Return the results of a run and end it: results, then the manifest, then the page.

    Args:
        work: computes the results, all but `run` and `timings`. It is not called where the folder has them: results
            are written last and in one step, so that the run was killed between its results and its end.
        timings: of the run, `work` included.
        clear: removes what was needed to continue after an interrupt.
    """
    if (folder.path / METRICS).is_file():
        result: R = kind.result.from_dict(read_metrics(folder))
    else:
        result = work()
        seconds = {} if timings is None else timings.with_total()
        result = replace(result, run=str(folder.path), timings=seconds)
        files.write_json(folder.path / METRICS, result.to_dict())
    folder.note(**result.notes())
    clear()
    reason = result.failure()
    folder.close("done" if reason is None else "failed", reason)
    write_page(folder.path)
    return result


@contextmanager
def _interruptible(kind: Kind[Any], folder: RunFolder) -> Iterator[None]:
    if kind.resume is None:
        yield
        return
    with resumable(folder, kind.resume):
        yield
