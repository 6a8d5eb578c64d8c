"""The page of recordings: of a file, or those that a run kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from .... import __version__
from ....base.atomic import write_text
from ....base.errors import NeurosimInputError, NeurosimMissingError, require
from ....data.files.formats import ReadOptions, find_format
from ....data.files.pieces import EventPieces, is_large
from ....data.files.shd import is_shd_file, read_shd
from ....data.files.sonata import read_sonata, sonata_populations
from ....data.read_report import ReadReport
from ...report import page
from ...report.film import write_gif
from ...report.played import EventCounts, Played, upright
from ..data import even
from ..summary import labels_of
from .facts import Fact, Overview
from .folder import MANIFEST, SPIKES, make_folder, open_run, read_metrics

MAX_SHOWN = 8
TILES = ("Sensor", "Duration", "Rate", "ON")  # facts of a recording at the head of the page


@dataclass(frozen=True)
class RecordingView:
    """Recordings to show.

    Attributes:
        title: of the page.
        source: the file or the run folder.
        shown: the recordings.
    """

    title: str
    source: Path
    shown: tuple[Played, ...]


def read_view(path: Path, options: ReadOptions, start: float | str | None = None) -> RecordingView:
    """Return the recordings of a file or a run folder.

    Args:
        path: of the file or folder.
        options: how the file is read.
        start: time 0 of the file: "first", "file" or seconds; None: the first event where the file has the clock of a
            camera.

    Raises:
        NeurosimError: as `files.read` and `open_run`; a run that kept no recordings.
    """
    if not path.exists():
        raise NeurosimMissingError(f"{path}: no such file or run folder; check the path")
    if not path.is_dir():
        # Both formats are HDF5, and a name does not tell them apart.
        if find_format(path, options.format) == "sonata" and is_shd_file(path):
            return RecordingView(path.name, path, _of_shd(path))
        return RecordingView(path.name, path, (_of_file(path, options, start),))
    if not (path / MANIFEST).is_file():
        raise NeurosimMissingError(f"{path}: is a folder without a run; give a file, or a run folder")
    unused = [name for name, value in {**vars(options), "start": start}.items() if value is not None]
    require(not unused, "view", "needs a file for these options; a run has its own", ", ".join(unused))
    return _of_run(path)


def write_view(view: RecordingView, out: Path | None = None) -> Path:
    """Write the page of recordings, and return its path.

    Args:
        out: the file, where it ends in ".html", or its folder; None: the current one.

    Raises:
        NeurosimWriteError: it cannot be written.
    """
    target = Path(f"view-{Path(view.title).stem}.html")
    if out is not None and out.suffix == ".html" and not out.is_dir():
        target = out
    elif out is not None:
        target = out / target
    make_folder(target.parent)
    manifest = {"versions": {"neurosim": __version__}}
    text = page.render(
        page.TEMPLATES / "view.html",
        view.source,
        manifest,
        overview=Overview(title=view.title, lead=[], facts=_facts(view)),
        lead=page.sentence([f"From {view.source.name}", *view.shown[0].remarks]),
        sections=_sections(view),
    )
    write_text(target, text)
    return target


class ViewSection(NamedTuple):
    """A recording of the page: the anchor and title of its section, and the recording."""

    anchor: str
    title: str
    played: Played


def _sections(view: RecordingView) -> list[ViewSection]:
    if len(view.shown) == 1:
        return [ViewSection("recording-1", "Recording", view.shown[0])]
    return [ViewSection(f"recording-{k}", each.name, each) for k, each in enumerate(view.shown, start=1)]


def _facts(view: RecordingView) -> list[Fact]:
    """Return the tiles: the number of all events, and the sensor of the first recording."""
    events = sum(each.counts.events for each in view.shown)
    note = f"of {len(view.shown)} recordings" if len(view.shown) > 1 else "in the recording"
    of_first = [Fact(label=name, value=value) for name, value in view.shown[0].facts() if name in TILES]
    return [Fact(label="Events", value=f"{events:,}", note=note), *of_first]


def write_view_gif(view: RecordingView, path: Path) -> None:
    """Write the first recording of a camera as an animated GIF.

    Raises:
        NeurosimInputError: none is of a camera.
        NeurosimMissingError: Pillow is not installed.
        NeurosimWriteError: it cannot be written.
    """
    cameras = [each for each in view.shown if each.camera and each.recording.duration]
    if not cameras:
        raise NeurosimInputError(f"--gif: needs the recording of a camera ({view.source} has none); leave it out")
    write_gif(path, cameras[0].film())


def _of_file(path: Path, options: ReadOptions, start: float | str | None) -> Played:
    if start in (None, "first") and is_large(path, options):
        pieces = EventPieces(path, options)
        if len(pieces.shape) == 3:
            return _in_pieces(path.name, pieces, start)
    spikes = options.read(path).starting(start)
    report = spikes.report or ReadReport("")
    remarks = report.remarks()
    if len(spikes.shape) == 3:
        remarks = (*remarks, report.convention())
    return Played(path.name, spikes.upright(), remarks)


def _in_pieces(name: str, pieces: EventPieces, start: float | str | None) -> Played:
    """Return the recording of a camera by its counts: once through the file for its time, once for the counts."""
    first = None
    last = 0.0
    for piece in pieces:
        if len(piece):
            first = piece.times[0] if first is None else first
            last = piece.times[-1]
    zero = float(first or 0.0) if start == "first" or pieces.report.clocked else 0.0
    duration = float(last) - zero
    counts = EventCounts.start(pieces.shape, duration)
    for piece in pieces:
        counts.add(piece.upright(), zero)
    report = replace(pieces.report, start=pieces.report.start + zero)
    return Played(name, counts, (*report.remarks(), report.convention()))


def _of_shd(path: Path) -> tuple[Played, ...]:
    """Return the first recordings of a file in SHD's layout, even over classes."""
    recordings = read_shd(path)
    labels = labels_of(recordings)
    names = recordings.classes or tuple(str(label) for label in range(int(labels.max(initial=0)) + 1))
    return tuple(
        Played(f"{names[int(labels[k])]}, recording {k}", recordings[k]) for k in even(labels, MAX_SHOWN).tolist()
    )


def _of_run(path: Path) -> RecordingView:
    """Return the recordings that a run stored, inputs before all others."""
    run = open_run(path)
    if not (path / SPIKES).is_file():
        raise NeurosimMissingError(f"{path}: kept no recordings (no {SPIKES}); give a file, or another run")
    stored = {name: read_sonata(path / SPIKES, name) for name in sonata_populations(path / SPIKES)}
    if run.manifest.status == "done":
        metrics = read_metrics(run)
    else:
        metrics = {}
    # A run of a dataset keeps its shown recordings as input_0, input_1, ...; a run of a network the spikes of all
    # populations, of which its manifest names the inputs.
    names = _names(metrics)
    played = [*names, *(run.manifest.data or {})]
    inputs = {name: spikes for name, spikes in stored.items() if name in played} or stored
    facts = dict(run.manifest.data or {})
    if metrics.get("row_0") == "bottom":
        facts |= {name: {"row_0": "bottom"} for name in names}
    chosen = list(inputs.items())[:MAX_SHOWN]
    shown = [Played(names.get(name, name), upright(spikes, facts, name)) for name, spikes in chosen]
    return RecordingView(run.manifest.name or path.name, path, tuple(shown))


def _names(metrics: object) -> dict[str, str]:
    """Return the headings of the inputs that the run of a dataset kept, by the names of their populations."""
    tree = metrics if isinstance(metrics, dict) else {}
    shown = tree.get("shown") or []
    classes = tree.get("classes") or []
    return {f"input_{k}": _heading(entry, classes) for k, entry in enumerate(shown) if isinstance(entry, dict)}


def _heading(entry: dict[str, object], classes: Sequence[str]) -> str:
    label = entry.get("label")
    name = classes[label] if isinstance(label, int) and 0 <= label < len(classes) else label
    return f"{name}, recording {entry.get('index')}"
