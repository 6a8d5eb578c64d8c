"""The five runs of a memory: store, recall, capacity, noise, familiarity. Each writes a run folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ... import files, measure
from ...errors import NeurosimInputError
from ...macrocolumn import ColumnBatch
from ..frame.config import sources_of
from ..frame.folder import RunFolder, open_run, read_metrics
from ..frame.lifecycle import finish, new_run
from ..frame.options import DEFAULTS, RunOptions
from ..frame.progress import bar
from ..frame.timings import Timings
from ..score import score
from . import KIND, figures
from .config import MemoryConfig
from .items import MemoryItems, Raw, encode, encoder, load
from .learned import Learned, capacity_warnings, learn, sizes_between
from .page import PICTURES
from .result import ColumnSize, MemoryResult, RecallAtSize, RecallOperations

WELL = 0.9  # of winners: from here on a memory holds the items it stored
SHOWN = 6  # items whose codes are drawn
# Adds the figures of a command to the result.
Extra = Callable[[RunFolder, Learned, MemoryResult], MemoryResult]


def store(config: MemoryConfig, options: RunOptions = DEFAULTS) -> MemoryResult:
    """Store a dataset's first split in one pass; the folder then holds a memory that `recall` loads."""

    def extra(folder: RunFolder, learned: Learned, result: MemoryResult) -> MemoryResult:
        learned.save(folder.path)
        return result

    return _run("store", config, options, Timings(), extra, points=config.sweep.points)


def capacity(config: MemoryConfig, options: RunOptions = DEFAULTS) -> MemoryResult:
    """Measure recall, time and operations against the number stored, for the dataset's items and for random ones."""
    timings = Timings()

    def extra(folder: RunFolder, learned: Learned, result: MemoryResult) -> MemoryResult:
        # Exceeds the capacity on purpose: suppress the warnings.
        with timings("random"), capacity_warnings(lambda line: None):
            random = figures.random_capacity(learned, config)
        return replace(result, random=tuple(random))

    return _run("capacity", config, options, timings, extra, points=config.sweep.points)


def noise(config: MemoryConfig, options: RunOptions = DEFAULTS) -> MemoryResult:
    """Measure the recall of stored items with some of their active bits moved."""
    timings = Timings()

    def extra(folder: RunFolder, learned: Learned, result: MemoryResult) -> MemoryResult:
        with timings("noise"):
            return replace(result, noise=tuple(figures.noise(learned, config)))

    return _run("noise", config, options, timings, extra)


def familiarity(config: MemoryConfig, options: RunOptions = DEFAULTS) -> MemoryResult:
    """Measure the familiarity of stored items against new ones, which every run does."""
    return _run("familiarity", config, options, Timings(), lambda folder, learned, result: result)


def recall(config: MemoryConfig, source: Path, options: RunOptions = DEFAULTS) -> MemoryResult:
    """Recall a split from the memory in the folder of a `store` run: classes, familiarity, and the stored items.

    Raises:
        NeurosimMissingError, NeurosimFormatError: the folder holds no such memory.
    """
    options.check_out()
    if options.out is not None and options.out.resolve() == source.resolve():
        raise NeurosimInputError(f"--out: must be another folder than that of the memory (got {options.out})")
    timings = Timings()
    with timings("load"):
        learned = Learned.load(source)
        raw = load(config.data)[1]
    if raw.classes != learned.classes:
        raise NeurosimInputError(f"{source}: stored classes {learned.classes}, and {raw.name} has {raw.classes}")
    with timings("encode"):
        new = encode(raw, learned.coder, config.code, _threads(options))
    facts = {"data": {raw.name: raw.facts()}, "memory": str(source)}
    with new_run(KIND, config.model_dump(), f"recall-{config.data.shown_name}", options, **facts) as folder:

        def work() -> MemoryResult:
            result = _recalled(folder, config, timings, learned, raw, new)
            return replace(result, command_kind="recall", source=str(source))

        return finish(KIND, folder, work, timings)


def source_config(source: Path, file: Path | None, sets: Sequence[str], given: Mapping[str, object]) -> MemoryConfig:
    """Return the config of a stored memory; only data, sweep and energy may change to recall from it.

    Raises:
        NeurosimInputError: `source` is no folder of a `store` run, or a setting that the memory depends on.
    """
    run = open_run(source)
    if run.manifest.kind != KIND.name or run.manifest.facts.get("command_kind") != "store":
        raise NeurosimInputError(f"{source}: holds no memory; give the folder of a 'neurosim memory store' run")
    config = MemoryConfig.reconfigure(run, sources_of(file, sets, given), ("data", "sweep", "energy"))
    dataset = read_metrics(run).get("dataset")
    if config.data.name != dataset:
        raise NeurosimInputError(
            f"data.name: must be {dataset}, which {source} was stored from (got {config.data.name})"
        )
    return config


def _run(
    name: str, config: MemoryConfig, options: RunOptions, timings: Timings, extra: Extra, points: int | None = None
) -> MemoryResult:
    """Load, encode, store in one pass, measure, write everything.

    Args:
        points: numbers of stored items at which the recall is measured for the result; None: at the end alone.
    """
    options.check_out()
    with timings("load"):
        stored, other = load(config.data)
    with timings("encode"):
        coder = encoder(stored, config)
        items, new = (encode(raw, coder, config.code, _threads(options)) for raw in (stored, other))
    facts = {"command_kind": name, "data": {raw.name: raw.facts() for raw in (stored, other)}}
    with new_run(KIND, config.model_dump(), f"{name}-{config.data.shown_name}", options, **facts) as folder:

        def work() -> MemoryResult:
            sizes = sizes_between(len(items), points or 1)
            with (
                timings("store"),
                bar(f"storing {config.data.shown_name}", "items", options.quiet) as report,
                capacity_warnings(options.say) as warnings,
            ):
                learned, growth = learn(config, coder, items, stored.classes, sizes, report)
            warnings += _overfull(options, growth)
            result = _recalled(folder, config, timings, learned, other, new, stored)
            course = tuple(growth) if points else None
            result = replace(result, command_kind=name, warnings=tuple(warnings), growth=course)
            return extra(folder, learned, result)

        return finish(KIND, folder, work, timings)


def _threads(options: RunOptions) -> int:
    return options.threads or os.cpu_count() or 1


def _overfull(options: RunOptions, growth: Sequence[RecallAtSize]) -> list[str]:
    """Warn if less is recalled than should be: items that are alike fill a memory sooner than random ones."""
    last = growth[-1]
    if last.recall >= WELL:
        return []
    well = max((row.stored for row in growth if row.recall >= WELL), default=0)
    line = (
        f"{last.stored:,} items are stored, and {last.recall:.1%} of the winners are recalled"
        + (f" ({well:,} were recalled well)" if well else "")
        + "; store fewer (--items), or give column.units, or a higher column.exponent for items that are alike"
    )
    options.say(line)
    return [line]


def _recalled(
    folder: RunFolder,
    config: MemoryConfig,
    timings: Timings,
    learned: Learned,
    other: Raw,
    new: MemoryItems,
    stored: Raw | None = None,
) -> MemoryResult:
    """Return the figures of every run: stored items recalled, the other split classified, familiarity, cost."""
    chosen = learned.probes(config.sweep.probes)
    with timings("recall"):
        again, answers = learned.recall(learned.items.select(chosen)), learned.recall(new)
    right = again.codes == learned.codes[chosen]
    groups, values = figures.familiarity(learned, new, config)
    _write_pictures(folder, learned, config, values, figures.similarity(learned, config), stored)
    layers = figures.work(learned, answers, new)
    active = int(learned.items.bits.shape[1])
    column = learned.column
    return MemoryResult(
        dataset=config.data.name,
        title=config.data.describe().title,
        split=other.name,
        samples=len(new),
        seed=config.seed,
        classes=learned.classes,
        column=ColumnSize(
            inputs=column.inputs,
            active=active,
            modules=column.modules,
            units=column.units,
            weights=column.weights["U"],
            filled=float(learned.memory.filled["U"]),
        ),
        stored=learned.stored,
        capacity=int(column.capacity(active)),
        expected_recall=float(column.expected_recall(learned.stored, active)),
        recall=float(right.mean()),
        exact=float(right.all(axis=1).mean()),
        **vars(score(new.labels, learned.labels.predict(answers.codes), learned.classes)),
        familiarity=groups,
        threshold=config.column.threshold,
        operations={"recall": _operations(answers), "stored_recall": _operations(again)},
        outside_bounds=int(np.count_nonzero(answers.codes[:, 0] < 0)),
        digest=hashlib.sha256(np.ascontiguousarray(learned.codes, "<i4").tobytes()).hexdigest(),
        measures=measure.measure(layers, len(new), other.seconds, int(answers.active.sum())),
        energy=measure.energy(layers, len(new), config.energy.profile),
    )


def _write_pictures(
    folder: RunFolder,
    learned: Learned,
    config: MemoryConfig,
    familiar: Mapping[str, NDArray[np.float64]],
    similar: Mapping[str, NDArray[np.float64]],
    stored: Raw | None,
) -> None:
    """Write the arrays that the page draws: codes of some items and of the same under noise, and the pairs."""
    labels = learned.items.labels
    chosen = np.array([int(np.flatnonzero(labels == k)[0]) for k in np.unique(labels)[:SHOWN]])
    shown = learned.items.select(chosen)
    moved = shown.noisy(min(figures.NOISY, max(config.sweep.noise)), config.seed)
    arrays = {
        **{f"familiarity_{name}": np.asarray(values, np.float32) for name, values in familiar.items()},
        **{f"similarity_{name}": values for name, values in similar.items()},
        "shown_labels": shown.labels,
        "shown_bits": shown.bits,
        "shown_codes": learned.codes[chosen],
        "shown_noisy_codes": learned.recall(moved).codes,
    }
    if stored is not None:
        arrays["shown_inputs"] = _pictures(stored.select(chosen))
    files.write_arrays(folder.path / PICTURES, arrays)


def _pictures(raw: Raw) -> NDArray[np.float32]:
    """Return [n, height, width] pictures of the items: events or grey levels, or channels over time."""
    image = len(raw.shape) in (2, 3)
    counts = raw.counts(1 if image else 32)
    counts = counts.reshape(len(raw), -1, *raw.shape[-2:]).sum(axis=1) if image else counts.transpose(0, 2, 1)
    return np.ascontiguousarray(counts, np.float32)


def _operations(batch: ColumnBatch) -> RecallOperations:
    return RecallOperations(
        words=float(batch.operations.mean()),
        least_words=int(batch.operations.min()),
        most_words=int(batch.operations.max()),
        synaptic=float(batch.synaptic_operations.mean()),
    )
