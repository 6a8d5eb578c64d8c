"""Recording of a run into its folder, which is made once and never overwritten.

A folder is locked while a run writes into it. The manifest says "running" from the start, and at the end how it ended,
so that a killed run is one that says "running" and is not locked.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from ....base import plugins
from ....base.atomic import write_text
from ....base.errors import NeurosimInputError, NeurosimInterruptedError, NeurosimWriteError, require
from ....base.json_toml import read_toml, toml_text
from . import provenance
from .folder import CONFIG, MANIFEST, RunFolder, lock_folder, make_folder, open_run

# Temporary files of a killed process; the final names still hold the old content.
UNFINISHED = ".*.part*"


@contextmanager
def record(
    config: Mapping[str, object],
    name: str,
    out: Path | None = None,
    command: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[RunFolder]:
    """Make a run folder; its status ends as "done", or as "failed" with the reason where the body raises.

    A run that is refused before it has written anything leaves no folder: its input was wrong, and the error says so.

    Args:
        config: the whole config, as it will be written.
        name: of the run; the folder is `runs/<date-time>-<name>` unless `out` is given.
        out: the folder to use. An earlier run in it is moved to `<out>.1` and so on, and back if the run is refused.
        command: the command line, for the manifest.
        say: is called with a message where an earlier run was moved, or moved back.

    Raises:
        NeurosimInputError: `out` holds files that are no run, is a file, or is in use by another run; a path in the
            config is not UTF-8.
        NeurosimWriteError: it could not be made.
    """
    # A config that cannot be written is refused before a folder is made.
    settings = toml_text(without_none(config), CONFIG)
    aside = None
    if out is None:
        is_new = True
        path = _new_folder(name)
    else:
        path = Path(out)
        aside = _move_aside(path)
        if aside is not None:
            say(f"{path} held an earlier run: moved to {aside}")
        is_new = not path.exists()
        make_folder(path, exist_ok=True)
    # The lock ends with the process, so that a killed run is told from one that is running.
    with lock_folder(path) as locked:
        run = RunFolder(path)
        facts = dict(provenance.commit())
        if used := plugins.provenance():
            facts["plugins"] = used
        run.note(
            name=name,
            status="running",
            reason=None,
            command=list(command),
            started=provenance.now(),
            ended=None,
            seed=config.get("seed"),
            config_hash=config_hash(without_none(config)),
            versions=provenance.versions(),
            **facts,
            machine=provenance.machine(),
            place=provenance.place() if locked else None,
        )
        write_text(path / CONFIG, settings)
        try:
            with _closing(run):
                yield run
        except NeurosimInputError:
            is_removed = _remove_refused(path, is_new)
            if aside is not None and is_removed:
                aside.rename(path)
                say(f"{aside} was moved back to {path}: the new run was refused")
            raise


def _remove_refused(path: Path, is_new: bool) -> bool:
    """Remove what `record` wrote into a folder, if nothing else is there, and the folder if it was made for the run.

    Returns:
        Whether the folder held nothing else.
    """
    # Anything beside these two was written by the run, or was there before: then the folder stays.
    own = {MANIFEST, CONFIG}
    if {each.name for each in path.iterdir()} != own:
        return False
    for name in own:
        (path / name).unlink(missing_ok=True)
    if is_new:
        path.rmdir()
    return True


@contextmanager
def reopen(run: RunFolder, command: Sequence[str] = ()) -> Iterator[RunFolder]:
    """Open a run folder to continue its run; the status ends as in `record`.

    Raises:
        NeurosimInputError: the run is done or never began, its config was changed, or another run is writing into it.
    """
    with lock_folder(run.path, "wait for its end, or stop it") as locked:
        # Another process may have gone on with the run, and ended it, since the caller read the manifest.
        run.manifest = open_run(run.path).manifest
        check_resumable(run)
        for file in run.path.glob(UNFINISHED):
            file.unlink(missing_ok=True)
        now = {"at": provenance.now(), "command": list(command)}
        place = provenance.place() if locked else None
        run.note(status="running", reason=None, ended=None, place=place, resumed=[*run.manifest.resumed, now])
        with _closing(run):
            yield run


def check_resumable(run: RunFolder) -> None:
    """Raise unless a run can continue.

    Raises:
        NeurosimInputError: it is done or never began, or its config was changed.
    """
    if run.manifest.status == "done":
        raise NeurosimInputError(f"{run.path}: its run is done, there is nothing to resume; leave out --resume")
    if run.manifest.data is None:
        raise NeurosimInputError(f"{run.path}: its run was killed before it began; {run.rerun_hint}")
    plugins.check_provenance(run.path, run.manifest.facts.get("plugins"))
    current = config_hash(read_toml(run.path / CONFIG))
    if run.manifest.config_hash != current:
        raise NeurosimInputError(f"{run.path / CONFIG}: was changed since the run began; run it again")


def check_unchanged(run: RunFolder, name: str, before: object, current: object) -> None:
    """Raise unless what a continued run depends on is what the run began with.

    Args:
        name: of what is compared, e.g. "data".
        before: what the manifest says.
        current: what is there now.

    Raises:
        NeurosimInputError: it was changed.
    """
    require(current == before, f"{run.path}: {name}", "must be what the run began with; run it again", current)


@contextmanager
def resumable(run: RunFolder, command: str) -> Iterator[None]:
    """Turn Ctrl-C into an error that says how to continue: `neurosim COMMAND --resume RUN`."""
    try:
        yield
    except KeyboardInterrupt:
        if run.manifest.data is None:
            raise  # there is nothing to continue from
        raise NeurosimInterruptedError(
            f"interrupted; finished work is saved, continue with: neurosim {command} --resume "
            f"{shlex.quote(str(run.path))}"
        ) from None


@contextmanager
def _closing(run: RunFolder) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        if stopped or isinstance(error, NeurosimInterruptedError):
            status = "interrupted"
        else:
            status = "failed"
        # On a full disk the manifest cannot be written either: the first error is the one to report.
        with suppress(NeurosimWriteError):
            run.close(status, "interrupted" if stopped else str(error))
        raise
    if run.manifest.status == "running":
        run.close("done")


def config_hash(config: Mapping[str, object]) -> str:
    """Return the SHA-256 of the settings as sorted JSON, without `data.root`: the place of files changes no result."""
    settings = dict(config)
    data = config.get("data")
    if isinstance(data, Mapping):
        settings["data"] = {key: value for key, value in data.items() if key != "root"}
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def without_none(tree: Mapping[str, object]) -> dict[str, object]:
    """Return the settings that are not None: TOML has no null, and an absent key stands for it."""
    return {k: without_none(v) if isinstance(v, Mapping) else v for k, v in tree.items() if v is not None}


def _new_folder(name: str) -> Path:
    # The name of a folder of recordings may hold bytes that are not UTF-8, which pages and terminals do not show.
    readable = "".join(character if character.isprintable() else "_" for character in name)
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{readable}"
    # Two runs may start within a second: mkdir decides, not a test before it.
    for k in range(1, 10_000):
        path = Path("runs", stem if k == 1 else f"{stem}-{k}")
        with suppress(FileExistsError):
            make_folder(path, exist_ok=False)
            return path
    raise NeurosimWriteError(f"runs/{stem}: 9,999 runs of that name exist; give --out")


def check_out(out: Path) -> None:
    """Raise unless a run may go there: to a new folder, an empty one, or the folder of an earlier run.

    Raises:
        NeurosimInputError: it is a file, or a folder that holds something else.
    """
    if out.exists() and not out.is_dir():
        raise NeurosimInputError(f"{out}: is a file, and a run needs a folder; give another --out")
    if _is_used(out) and not _is_run(out):
        raise NeurosimInputError(f"{out}: is not empty and holds no neurosim run; give another --out")


def _move_aside(out: Path) -> Path | None:
    """Move an earlier run to the first free of `<out>.1`, `<out>.2` and so on; None where there is no run.

    Raises:
        NeurosimInputError: as `check_out`, or another run is writing into the folder.
        NeurosimWriteError: it cannot be moved.
    """
    check_out(out)
    if not _is_used(out):
        return None
    with lock_folder(out):
        name = out.resolve().name
        candidates = (out.with_name(f"{name}.{k}") for k in itertools.count(1))
        aside = next(path for path in candidates if not path.exists())
    try:
        out.rename(aside)
    except OSError as error:
        raise NeurosimWriteError(f"{out}: cannot move the earlier run ({error.strerror}); give another --out") from None
    return aside


def _is_used(path: Path) -> bool:
    return path.is_dir() and any(not fnmatch(p.name, UNFINISHED) for p in path.iterdir())


def _is_run(path: Path) -> bool:
    with suppress(NeurosimInputError):
        open_run(path)
        return True
    return False
