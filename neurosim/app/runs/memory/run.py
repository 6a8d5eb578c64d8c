"""The five runs of a memory: store, recall, capacity, noise, familiarity. Each writes a run folder."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimInputError
from ....base.measure.estimates import energy
from ....base.measure.measures import measure
from ....data.files.arrays import write_arrays
from ....memory.macrocolumn.state import ColumnBatch
from ..frame.config import sources_of
from ..frame.folder import RunFolder, open_run, read_metrics
from ..frame.kind import Inputs, Run
from ..frame.options import RunOptions
from ..frame.progress import bar
from ..score import OtherClassifiers, score_answers
from . import figures
from .config import GROWING, MemoryConfig, unused_of_command
from .items import ItemEncoder, MemoryItems, Raw, compared_beside, encoder, load
from .learned import Learned, capacity_warnings, learn, sizes_between
from .page import PICTURES
from .result import ColumnSize, MemoryResult, RecallAtSize, RecallOperations

WELL = 0.9  # of winners: from here on a memory holds the items it stored
SHOWN = 6  # items whose codes are drawn


@dataclass(frozen=True, eq=False)
class EncodedItems:
    """A dataset as sparse codes.

    Attributes:
        stored, other: the items to store, and the items of the split that is compared with them.
        coder: makes their codes.
        items, new: the codes of `stored` and of `other`.
    """

    stored: Raw
    other: Raw
    coder: ItemEncoder
    items: MemoryItems
    new: MemoryItems


@dataclass(frozen=True, eq=False)
class Recalled:
    """A stored memory, and items to recall from it: as they were read, and as codes."""

    learned: Learned
    other: Raw
    new: MemoryItems


# Adds the figures of a command to the result.
Extra = Callable[[Run[MemoryConfig, EncodedItems], Learned, MemoryResult], MemoryResult]


def load_encoded(config: MemoryConfig, options: RunOptions, command: str) -> Inputs[EncodedItems]:
    """Return both splits of a dataset as codes."""
    stored, other = load(config.data)
    coder = encoder(stored, config, options.thread_count)
    items = coder.encode(stored, options.thread_count)
    new = coder.encode(other, options.thread_count)
    data = {raw.name: raw.facts() for raw in (stored, other)}
    return Inputs(
        EncodedItems(stored=stored, other=other, coder=coder, items=items, new=new), data, {"command_kind": command}
    )


def load_recalled(source: Path, config: MemoryConfig, options: RunOptions) -> Inputs[Recalled]:
    """Return the memory in the folder of a `store` run, and a split to recall from it.

    Raises:
        NeurosimInputError: the run would overwrite the memory, or the split has other classes.
        NeurosimMissingError, NeurosimFormatError: the folder holds no such memory.
    """
    if options.out is not None and options.out.resolve() == source.resolve():
        raise NeurosimInputError(f"--out: must be another folder than the one with the memory (got {options.out})")
    learned = Learned.load(source, config)
    raw = load(config.data)[1]
    if raw.classes != learned.classes:
        raise NeurosimInputError(f"{source}: stored classes {learned.classes}, and {raw.name} has {raw.classes}")
    new = learned.coder.encode(raw, options.thread_count)
    return Inputs(Recalled(learned, raw, new), {raw.name: raw.facts()}, {"memory": str(source.absolute())})


def store(run: Run[MemoryConfig, EncodedItems], command: str) -> MemoryResult:
    """Store a dataset's first split in one pass, measure, and add what the command is for."""
    if command != "store":
        return _store(run, command, COMMANDS[command])
    weights = run.config.build_column().weights["U"]
    with compared_beside(run.config, run.inputs.stored, run.inputs.other, weights, run.options) as comparison:
        return _store(run, command, functools.partial(_save, comparison))


def _store(run: Run[MemoryConfig, EncodedItems], command: str, extra: Extra) -> MemoryResult:
    config = run.config
    own = run.inputs
    # One size, all items, where the course of the recall is not measured.
    points = config.sweep.points if command in GROWING else None
    sizes = sizes_between(len(own.items), points or 1)
    with (
        run.time("store"),
        bar(f"storing {config.data.shown_name}", "items", run.options.quiet) as report,
        capacity_warnings(run.options.say) as warnings,
    ):
        learned, growth = learn(config, own.coder, own.items, own.stored.classes, sizes, report)
    warnings += _overfull(run.options, growth)
    result = _figures(run, learned, own.other, own.new, own.stored)
    course = tuple(growth) if points else None
    result = replace(result, command_kind=command, warnings=tuple(warnings), growth=course)
    return extra(run, learned, result)


def recall(run: Run[MemoryConfig, Recalled], source: Path) -> MemoryResult:
    """Recall a split from a stored memory: classes, familiarity, and the stored items."""
    result = _figures(run, run.inputs.learned, run.inputs.other, run.inputs.new)
    return replace(result, command_kind="recall", source=str(source))


def _save(
    comparison: Callable[[], OtherClassifiers],
    run: Run[MemoryConfig, EncodedItems],
    learned: Learned,
    result: MemoryResult,
) -> MemoryResult:
    """Write the memory, which `recall` loads, and add the answers of others."""
    learned.save(run.path)
    with run.time("baselines"):
        others = comparison()
    return replace(result, **vars(others))


def _capacity(run: Run[MemoryConfig, EncodedItems], learned: Learned, result: MemoryResult) -> MemoryResult:
    """Measure recall, time and operations against the number of random items."""
    # Exceeds the capacity on purpose: suppress the warnings.
    with run.time("random"), capacity_warnings(lambda line: None):
        random = figures.random_capacity(learned, run.config)
    return replace(result, random=tuple(random))


def _noise(run: Run[MemoryConfig, EncodedItems], learned: Learned, result: MemoryResult) -> MemoryResult:
    """Measure the recall of stored items with some of their active bits moved."""
    with run.time("noise"):
        return replace(result, noise=tuple(figures.noise(learned, run.config)))


def _familiarity(run: Run[MemoryConfig, EncodedItems], learned: Learned, result: MemoryResult) -> MemoryResult:
    """Add nothing: every run measures the familiarity of stored items against new ones."""
    return result


# Besides `store`, which saves the memory.
COMMANDS: Mapping[str, Extra] = {
    "capacity": _capacity,
    "noise": _noise,
    "familiarity": _familiarity,
}


def source_config(source: Path, file: Path | None, sets: Sequence[str], values: Mapping[str, object]) -> MemoryConfig:
    """Return the config of a stored memory; only data, sweep and energy may change to recall from it.

    Raises:
        NeurosimInputError: `source` is no folder of a `store` run, or a setting that the memory depends on.
    """
    run = open_run(source)
    if run.manifest.kind != "memory" or run.manifest.facts.get("command_kind") != "store":
        raise NeurosimInputError(f"{source}: holds no memory; give the folder of a 'neurosim memory store' run")
    unused = unused_of_command("recall")
    config = MemoryConfig.reconfigure(run, sources_of(file, sets, values), ("data", "sweep", "energy"), unused)
    dataset = read_metrics(run).get("dataset")
    if config.data.name != dataset:
        raise NeurosimInputError(
            f"data.name: must be {dataset}, which {source} was stored from (got {config.data.name})"
        )
    return config


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


def _figures(
    run: Run[MemoryConfig, Any], learned: Learned, other: Raw, new: MemoryItems, stored: Raw | None = None
) -> MemoryResult:
    """Return the figures of every run: stored items recalled, the other split classified, familiarity, cost."""
    config = run.config
    chosen = learned.probes(config.sweep.probes)
    with run.time("recall"):
        again = learned.recall(learned.items.select(chosen))
        answers = learned.recall(new)
    right = again.codes == learned.codes[chosen]
    groups, values = figures.familiarity(learned, new, config)
    _write_pictures(
        run.folder, learned, config, familiar=values, similar=figures.similarity(learned, config), stored=stored
    )
    layers = figures.work(learned, answers, new)
    active = int(learned.items.bits.shape[1])
    column = learned.column
    dictionary = learned.coder.vectors.dictionary
    return MemoryResult(
        dataset=config.data.name,
        title=config.data.describe().title,
        split=other.name,
        samples=len(new),
        size=other.whole,
        train_size=None if stored is None else stored.whole,
        seed=config.seed,
        classes=learned.classes,
        code=config.code.kind,
        patches=0 if dictionary is None else dictionary.stored,
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
        **vars(score_answers(new.labels, learned.predict(new, answers), learned.classes)),
        readout=learned.readout.kind,
        winners_accuracy=float(np.mean(learned.labels.predict(answers.codes) == new.labels)),
        familiarity=groups,
        threshold=config.column.threshold,
        operations={"recall": _operations(answers), "stored_recall": _operations(again)},
        outside_bounds=int(np.count_nonzero(answers.codes[:, 0] < 0)),
        digest=digest(learned, new, answers),
        measures=measure(layers, len(new), other.seconds, int(answers.active.sum())),
        energy=energy(layers, len(new), config.energy.profile),
    )


def digest(learned: Learned, new: MemoryItems, answers: ColumnBatch) -> str:
    """Return the SHA-256 of stored items, their codes, new items and the codes that are recalled for them.

    The codes alone are no digest of a memory: while it holds nothing alike they are drawn by the seed, whatever comes.
    """
    digest = hashlib.sha256()
    for array in (learned.items.bits, learned.codes, new.bits, answers.codes):
        digest.update(np.ascontiguousarray(array, "<i4").tobytes())
    return digest.hexdigest()


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
        arrays["shown_inputs"] = _pictures(stored.select(chosen), config.data.describe().row_0)
    write_arrays(folder.path / PICTURES, arrays)


def _pictures(raw: Raw, row_0: str) -> NDArray[np.float32]:
    """Return [n, height, width] pictures of the items, upright: events or grey levels, or channels over time."""
    image = len(raw.shape) in (2, 3)
    # Channels have no picture of their own: 32 windows of time are its columns.
    counts = raw.counts(1 if image else 32)
    if image:
        counts = counts.reshape(len(raw), -1, *raw.shape[-2:]).sum(axis=1)
        if row_0 == "bottom":
            counts = counts[:, ::-1]
    else:
        counts = counts.transpose(0, 2, 1)
    return np.ascontiguousarray(counts, np.float32)


def _operations(batch: ColumnBatch) -> RecallOperations:
    return RecallOperations(
        words=float(batch.operations.mean()),
        min_words=int(batch.operations.min()),
        max_words=int(batch.operations.max()),
        synaptic=float(batch.synaptic_operations.mean()),
    )
