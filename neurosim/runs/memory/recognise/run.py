"""Store every item of a split once in a hierarchy of macrocolumns, and recognise those of another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .... import macrocolumn as mc
from .... import measure
from ....errors import require
from ....macrocolumn import Recogniser, RecogniserMemory
from ....spikes import Recordings
from ...frame.folder import RunFolder, check_resumable, check_unchanged
from ...frame.lifecycle import finish, new_run, open_to_resume, resumed_run
from ...frame.options import DEFAULTS, RunOptions
from ...frame.progress import bar
from ...frame.timings import Timings
from ...score import score
from ..items import Raw, load
from . import KIND
from .config import RecogniseConfig, View
from .result import LevelSize, RecogniseResult

MEMORY = "memory.safetensors"  # the recogniser with what it has stored, `macrocolumn.load` reads it
CHUNK = 2000  # items after which it is written
# The name of `macrocolumn.build_recogniser` for each view.
BUILDS = {"image": "mnist", "camera": "nmnist", "sound": "shd"}


def recognise(config: RecogniseConfig, options: RunOptions = DEFAULTS) -> RecogniseResult:
    """Store and recognise; the folder then holds the memory.

    Raises:
        NeurosimError: what is wrong with the dataset or the disk.
        NeurosimInterruptedError: Ctrl-C; `resume` continues.
    """
    options.check_out()
    stored, asked = load(config.data)
    kind = _kind(config.view, stored)
    with new_run(KIND, config.model_dump(), f"recognise-{config.data.shown_name}", options) as folder:
        folder.note(data={raw.name: raw.facts() for raw in (stored, asked)})
        return _finish(folder, config, kind, stored, asked, options)


def resume(path: Path, options: RunOptions = DEFAULTS) -> RecogniseResult:
    """Continue a run that was interrupted or killed, after the items that are stored on the disk.

    Returns:
        What the uninterrupted run would have returned, apart from wall-clock times.

    Raises:
        NeurosimError: as `recognise`; and where the run is done, or its config or dataset were changed.
    """
    folder = open_to_resume(KIND, path)
    check_resumable(folder)
    config = RecogniseConfig.reconfigure(folder)
    with resumed_run(KIND, folder, options):
        stored, asked = load(config.data)
        check_unchanged(folder, "data", folder.manifest.data, {raw.name: raw.facts() for raw in (stored, asked)})
        return _finish(folder, config, _kind(config.view, stored), stored, asked, options)


def _finish(
    folder: RunFolder, config: RecogniseConfig, kind: str, stored: Raw, asked: Raw, options: RunOptions
) -> RecogniseResult:
    timings = Timings()
    return finish(KIND, folder, lambda: _run(folder, config, kind, stored, asked, options, timings), timings)


def _run(
    folder: RunFolder,
    config: RecogniseConfig,
    kind: str,
    stored: Raw,
    asked: Raw,
    options: RunOptions,
    timings: Timings,
) -> RecogniseResult:
    threads, duration = options.threads or os.cpu_count() or 1, _duration(config.view, stored)
    with timings("store"):
        owner, memory = _store(folder, config, kind, stored, duration, options)
    with timings("recognise"):
        items = _view(kind, asked, config.view, duration)
        found = owner.recognise(memory, items, threads)
    layers = owner.work(memory, items, threads)
    figures = score(asked.labels, found.labels, asked.classes)
    return RecogniseResult(
        **vars(figures),
        dataset=config.data.name,
        title=config.data.describe().title,
        split=asked.name,
        samples=len(asked),
        seed=config.seed,
        classes=asked.classes,
        view=kind,
        stored=memory.stored,
        levels=tuple(
            LevelSize(columns=level.columns, modules=level.modules, units=level.units, filled=own.filled["U"])
            for level, own in zip(owner.hierarchy.levels, memory.hierarchy.levels, strict=True)
        ),
        words=float(found.operations.mean()),
        digest=hashlib.sha256(found.labels.astype("<i8").tobytes()).hexdigest(),
        measures=measure.measure(layers, len(asked), asked.seconds, int(np.count_nonzero(items))),
        energy=measure.energy(layers, len(asked), config.energy.profile),
    )


def _store(
    folder: RunFolder, config: RecogniseConfig, kind: str, raw: Raw, duration: float, options: RunOptions
) -> tuple[Recogniser, RecogniserMemory]:
    """Store the items that are not stored yet, in an order drawn from the seed; write the memory from time to time."""
    path, threads = folder.path / MEMORY, options.threads or os.cpu_count() or 1
    if path.is_file():
        owner, memory = mc.load(path)
    else:
        levels = config.view.threshold
        shape = (len(levels), *raw.shape) if kind == "image" and isinstance(levels, tuple) else raw.shape
        owner = mc.build_recogniser(BUILDS[kind], config.seed, shape, max(2, len(raw.classes)))
        memory = owner.memory()
    order = np.random.default_rng(config.seed).permutation(len(raw))
    with bar(f"storing {config.data.shown_name}", "items", options.quiet) as report:
        for first in range(memory.stored, len(raw), CHUNK):
            part = raw.select(order[first : first + CHUNK])
            owner.store(memory, _view(kind, part, config.view, duration), part.labels, threads)
            mc.save(path, owner, memory)
            if report:
                report(memory.stored, len(raw))
    return owner, memory


def _kind(view: View, raw: Raw) -> str:
    """Return the view of the items, which must have the dimensions that it needs."""
    image, dimensions = not isinstance(raw.source, Recordings), len(raw.shape)
    fits = {"image": image and dimensions == 2, "camera": not image and dimensions == 3, "sound": dimensions == 1}
    kind = view.kind if view.kind != "auto" else next((name for name, good in fits.items() if good), "")
    rule = "must be 'image' for grey levels, 'camera' for (polarities, height, width), 'sound' for channels"
    require(fits.get(kind, False), "view.kind", rule, f"{view.kind} for items of {raw.shape}")
    return kind


def _duration(view: View, raw: Raw) -> float:
    if view.duration is not None or not isinstance(raw.source, Recordings):
        return view.duration or 1.0
    return float(raw.source.durations.max())


def _view(kind: str, raw: Raw, view: View, duration: float) -> NDArray[np.uint8]:
    """Return the items as inputs of the columns, [items, frames, inputs]."""
    if not isinstance(raw.source, Recordings):
        return mc.on_off_pixels(raw.source, view.threshold)
    if kind == "camera":
        return mc.on_off_windows(raw.source, duration=duration, min_spikes=view.min_spikes)
    return mc.on_off_spectrum(raw.source, channels=min(50, raw.source.size))
