"""Store every item of a split once in a hierarchy of macrocolumns, and recognise the items of another split."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .....base.errors import require
from .....base.measure.estimates import energy
from .....base.measure.measures import measure
from .....data.spikes import Recordings
from .....memory.macrocolumn import saved
from .....memory.macrocolumn.encoders import on_off_pixels, on_off_spectrum, on_off_windows
from .....memory.macrocolumn.recognition import Recogniser, RecogniserMemory, build_recogniser
from .....memory.macrocolumn.saved import save
from ...frame.kind import Inputs, Run
from ...frame.options import RunOptions
from ...frame.progress import bar
from ...score import score_answers
from ..items import Raw, compare_items
from ..items import load as read_items
from .config import RecogniseConfig, View
from .result import LevelSize, RecogniseResult

MEMORY = "memory.safetensors"  # the recogniser with what it has stored, `macrocolumn.load` reads it
CHUNK = 2000  # items after which it is written
# The name of `macrocolumn.build_recogniser` for each view.
BUILDS = {"image": "mnist", "camera": "nmnist", "sound": "shd"}


class RecognitionSplits(NamedTuple):
    """Items to store and items to recognise, and how the columns see them: "image", "camera" or "sound"."""

    stored: Raw
    test: Raw
    view: str


def load(config: RecogniseConfig, options: RunOptions) -> Inputs[RecognitionSplits]:
    """Return the items of a run; raise where their view does not fit them."""
    stored, test = read_items(config.data)
    facts = {raw.name: raw.facts() for raw in (stored, test)}
    return Inputs(RecognitionSplits(stored, test, _kind(config.view, stored)), facts)


def work(run: Run[RecogniseConfig, RecognitionSplits]) -> RecogniseResult:
    """Store every item of a split once, and recognise the items of another split."""
    config = run.config
    threads = run.threads
    stored, test, view = run.inputs
    # Windows of both splits have the duration of the stored items, whatever is recognised.
    duration = _duration(config.view, stored)
    with run.time("store"):
        owner, memory = _store(run, duration)
    with run.time("recognise"):
        items = _view(view, test, config.view, duration)
        answers = owner.recognise(memory, items, threads)
    layers = owner.work(memory, items, threads)
    with run.time("baselines"):
        comparison = compare_items(config, stored, test, sum(layer.weights for layer in layers))
    return RecogniseResult(
        **vars(score_answers(test.labels, answers.labels, test.classes)),
        **vars(comparison),
        dataset=config.data.name,
        title=config.data.describe().title,
        split=test.name,
        samples=len(test),
        seed=config.seed,
        classes=test.classes,
        view=view,
        stored=memory.stored,
        levels=tuple(
            LevelSize(columns=level.columns, modules=level.modules, units=level.units, filled=own.filled["U"])
            for level, own in zip(owner.hierarchy.levels, memory.hierarchy.levels, strict=True)
        ),
        words=float(answers.operations.mean()),
        digest=hashlib.sha256(answers.labels.astype("<i8").tobytes()).hexdigest(),
        measures=measure(layers, len(test), test.seconds, int(np.count_nonzero(items))),
        energy=energy(layers, len(test), config.energy.profile),
    )


def _store(run: Run[RecogniseConfig, RecognitionSplits], duration: float) -> tuple[Recogniser, RecogniserMemory]:
    """Store the items that are not stored yet, in an order drawn from the seed; write the memory from time to time."""
    config = run.config
    raw = run.inputs.stored
    kind = run.inputs.view
    path = run.path / MEMORY
    if path.is_file():
        owner, memory = saved.load(path)
    else:
        # Each threshold of a list is a plane of inputs of its own.
        levels = config.view.threshold
        if kind == "image" and isinstance(levels, tuple):
            shape = (len(levels), *raw.shape)
        else:
            shape = raw.shape
        owner = build_recogniser(BUILDS[kind], config.seed, shape, max(2, len(raw.classes)))
        memory = owner.memory()
    order = np.random.default_rng(config.seed).permutation(len(raw))
    with bar(f"storing {config.data.shown_name}", "items", run.options.quiet) as report:
        # The number stored says where an interrupted run stopped in the order.
        for first in range(memory.stored, len(raw), CHUNK):
            part = raw.select(order[first : first + CHUNK])
            owner.store(memory, _view(kind, part, config.view, duration), part.labels, run.threads)
            save(path, owner, memory)
            if report:
                report(memory.stored, len(raw))
    return owner, memory


def _kind(view: View, raw: Raw) -> str:
    """Return the view of the items, which must have the dimensions that it needs."""
    image = not isinstance(raw.source, Recordings)
    dimensions = len(raw.shape)
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
        return on_off_pixels(raw.source, view.threshold)
    if kind == "camera":
        return on_off_windows(raw.source, duration=duration, min_spikes=view.min_spikes)
    return on_off_spectrum(raw.source, channels=min(50, raw.source.size))
