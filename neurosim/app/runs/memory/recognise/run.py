"""Store every item of a split once in columns or patches, and recognise the items of another split."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .....base.errors import require
from .....base.measure.estimates import energy
from .....base.measure.measures import measure
from .....data.recordings import Recordings
from ...frame.kind import Inputs, Run
from ...frame.options import RunOptions
from ...frame.progress import bar
from ...score import score_answers
from ..items import Raw, compare_items
from ..items import load as read_items
from ..patches import join_pixels
from .config import RecogniseConfig, View
from .owners import SPIKES, Owner, Sight, column_view, open_owner
from .result import RecogniseResult

MEMORY = "memory.safetensors"  # the recogniser with what it has stored: `macrocolumn.load` or `CodeRecogniser.load`
CHUNK = 2000  # items after which it is written
# Fraction of a camera's pixels that is on in a window with `SPIKES`, at least. Of recordings of 2,000 and 1,000 events
# .08 and .03 are on, and .81 and .50 recognised, with one spike .80 and .76: docs/figures/memory.md.
MIN_PLACES_ON = 0.06
JUDGED = 50  # items that the fraction is taken from, about


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
    threads = run.options.thread_count
    stored, test, view = run.inputs
    # Windows of both splits have the duration of the stored items, whatever is recognised.
    duration = _duration(config.view, stored)
    with run.time("store"):
        joined = _joined(stored, config.view)
        sight = Sight(view, duration, _min_spikes(config, joined, view, duration))
        owner = _store(run, joined, sight)
    with run.time("recognise"):
        items = owner.view(_joined(test, config.view))
        answers = owner.answer(items, threads)
    layers = answers.layers
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
        code=config.code.kind,
        readout=config.readout_kind,
        stored=owner.stored,
        places_on=places_on(items) if _sees_windows(config, view) else None,
        levels=owner.levels(),
        words=answers.words,
        digest=hashlib.sha256(answers.labels.astype("<i8").tobytes()).hexdigest(),
        measures=measure(layers, len(test), test.seconds, int(np.count_nonzero(items))),
        energy=energy(layers, len(test), config.energy.profile),
    )


def _joined(raw: Raw, view: View) -> Raw:
    """Return items whose neighbouring pixels are one; images stay as they are."""
    if isinstance(raw.source, Recordings):
        return replace(raw, source=join_pixels(raw.source, view.downsample))
    return raw


def _store(run: Run[RecogniseConfig, RecognitionSplits], raw: Raw, sight: Sight) -> Owner:
    """Store the items that are not stored yet, in an order drawn from the seed; write the memory from time to time."""
    config = run.config
    path = run.path / MEMORY
    owner = open_owner(config, raw, sight, path)
    order = np.random.default_rng(config.seed).permutation(len(raw))
    with bar(f"storing {config.data.shown_name}", "items", run.options.quiet) as report:
        # The number stored says where an interrupted run stopped in the order.
        for first in range(owner.stored, len(raw), CHUNK):
            part = raw.select(order[first : first + CHUNK])
            owner.store(owner.view(part), part.labels, run.options.thread_count)
            owner.save(path)
            if report:
                report(owner.stored, len(raw))
    return owner


def _kind(view: View, raw: Raw) -> str:
    """Return the view of the items, which must have the dimensions that it needs."""
    image = not isinstance(raw.source, Recordings)
    dimensions = len(raw.shape)
    fits = {"image": image and dimensions == 2, "camera": not image and dimensions == 3, "sound": dimensions == 1}
    kind = view.kind if view.kind != "auto" else next((name for name, good in fits.items() if good), "")
    rule = "must be 'image' for grey levels, 'camera' for (polarities, height, width), 'sound' for channels"
    require(fits.get(kind, False), "view.kind", rule, f"{view.kind} for items of {raw.shape}")
    return kind


def _sees_windows(config: RecogniseConfig, view: str) -> bool:
    """Return whether columns see windows of a camera, an ON and an OFF input for each place."""
    return view == "camera" and config.code.kind == "columns"


def _min_spikes(config: RecogniseConfig, raw: Raw, view: str, duration: float) -> int:
    """Return the spikes with which a pixel is on: 1 where `SPIKES` leave too few pixels on in items to store."""
    if config.view.min_spikes is not None:
        return config.view.min_spikes
    if not _sees_windows(config, view):
        return SPIKES
    some = raw.select(np.arange(0, len(raw), max(1, len(raw) // JUDGED)))
    items = column_view(some, config.view, Sight(view, duration, SPIKES))
    return SPIKES if places_on(items) >= MIN_PLACES_ON else 1


def places_on(items: NDArray[np.uint8]) -> float:
    """Return the fraction of ON inputs, the first half of items [n, frames, inputs], that are on."""
    return float(items[..., : items.shape[-1] // 2].mean())


def _duration(view: View, raw: Raw) -> float:
    if view.duration is not None or not isinstance(raw.source, Recordings):
        return view.duration or 1.0
    return float(raw.source.durations.max())
