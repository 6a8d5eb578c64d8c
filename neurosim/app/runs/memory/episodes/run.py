"""Draw episodes, store their examples in a fresh macrocolumn, and ask it about other items of their classes."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .....base.errors import NeurosimInputError
from .....base.measure.estimates import energy
from .....base.measure.measures import measure
from .....data.files.arrays import read_arrays, write_arrays
from .....memory.macrocolumn.state import ColumnBatch
from ...frame.kind import Inputs, Run
from ...frame.options import RunOptions
from ...frame.progress import bar
from ...score import Z95
from .. import figures
from ..items import ItemEncoder, MemoryItems, Raw, encoder
from ..items import load as read_items
from ..labels import LabelMemory
from ..learned import Learned
from .config import EpisodesConfig
from .result import EpisodesResult, ShotResult

DONE = "episodes.safetensors"  # the accuracies so far, while a run is on its way
CHUNK = 20  # episodes after which they are written
METHODS = ("memory", "nearest", "prototype")


class EpisodeSplits(NamedTuple):
    """Items of the split that the encoder is fitted to, and of the split that episodes are drawn from."""

    fitted: Raw
    source: Raw


class Episode(NamedTuple):
    """Stored items and queries, with the labels 0, 1, ... of the episode's classes.

    Attributes:
        numbers: of the queries among all items.
    """

    support: MemoryItems
    queries: MemoryItems
    numbers: NDArray[np.int64]


def load(config: EpisodesConfig, options: RunOptions) -> Inputs[EpisodeSplits]:
    """Return the items of a run; raise where there are too few for its episodes."""
    splits = EpisodeSplits(*read_items(config.data))
    _classes(splits.source.labels, config)
    return Inputs(splits, {raw.name: raw.facts() for raw in splits})


def work(run: Run[EpisodesConfig, EpisodeSplits]) -> EpisodesResult:
    """Draw episodes, and answer their queries."""
    config = run.config
    items_raw = run.inputs.source
    own = config.episodes
    groups = _classes(items_raw.labels, config)
    with run.time("encode"):
        coder = encoder(run.inputs.fitted, config, run.options.thread_count)
        items = coder.encode(items_raw, run.options.thread_count)
    with run.time("episodes"):
        accuracies = _accuracies(run, coder, items, groups)
    # Work is counted in one episode, the last, with the last number of shots.
    last = _draw(config, items, groups, own.count - 1, own.shots[-1])
    learned, batch = _ask(config, coder, last)
    # Encoded again: work is counted for whole sets of items.
    queries = coder.encode(items_raw.select(last.numbers), run.options.thread_count)
    layers = figures.work(learned, batch, queries)
    return EpisodesResult(
        dataset=config.data.name,
        title=config.data.describe().title,
        split=items_raw.name,
        seed=config.seed,
        samples=own.count * own.ways * own.queries,
        classes=len(groups),
        ways=own.ways,
        episodes=own.count,
        queries=own.queries,
        rows=tuple(_row(shots, accuracies[k]) for k, shots in enumerate(own.shots)),
        digest=hashlib.sha256(accuracies.tobytes()).hexdigest(),
        measures=measure(layers, len(last.queries), 0.0, int(batch.active.sum())),
        energy=energy(layers, len(last.queries), config.energy.profile),
    )


def _classes(labels: NDArray[np.int64], config: EpisodesConfig) -> list[NDArray[np.int64]]:
    """Return the items of every class that has enough for an episode."""
    own = config.episodes
    need = max(own.shots) + own.queries
    groups = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    enough = [group for group in groups if len(group) >= need]
    if len(enough) < own.ways:
        raise NeurosimInputError(
            f"episodes.ways: needs {own.ways} classes of at least {need} items ({max(own.shots)} shots and "
            f"{own.queries} queries), and '{config.data.split}' has {len(enough)} of {len(groups)}; ask for fewer"
        )
    return enough


def _draw(
    config: EpisodesConfig, items: MemoryItems, groups: list[NDArray[np.int64]], number: int, shots: int
) -> Episode:
    """Return an episode. Its classes and queries depend on the seed and its number, not on the number of shots."""
    own = config.episodes
    rng = np.random.default_rng([config.seed, number])
    chosen = rng.choice(len(groups), own.ways, replace=False)
    # As many as the largest number of shots needs, so that all numbers share their queries.
    need = max(own.shots) + own.queries
    drawn = np.stack([rng.choice(groups[k], need, replace=False) for k in chosen])
    support = drawn[:, own.queries : own.queries + shots]
    queries = drawn[:, : own.queries]

    def part(indices: NDArray[np.int64]) -> MemoryItems:
        return MemoryItems(items.bits[indices.ravel()], items.size, np.repeat(np.arange(own.ways), indices.shape[1]))

    return Episode(part(support), part(queries), queries.ravel())


def _accuracies(
    run: Run[EpisodesConfig, EpisodeSplits],
    coder: ItemEncoder,
    items: MemoryItems,
    groups: list[NDArray[np.int64]],
) -> NDArray[np.float64]:
    """Return [shots, episodes, methods] accuracies; episodes that an interrupted run finished are read from disk."""
    config = run.config
    path = run.path / DONE
    own = config.episodes
    accuracies = np.full((len(own.shots), own.count, len(METHODS)), np.nan)
    done = 0
    if path.is_file():
        known = read_arrays(path)["accuracies"]
        done = known.shape[1]
        accuracies[:, :done] = known
    with bar(f"episodes of {config.data.shown_name}", "episodes", run.options.quiet) as report:
        # An episode is keyed by its number, so that a resumed run draws the same.
        for number in range(done, own.count):
            for k, shots in enumerate(own.shots):
                accuracies[k, number] = _answer(config, coder, _draw(config, items, groups, number, shots))
            if (number + 1) % CHUNK == 0:
                write_arrays(path, {"accuracies": accuracies[:, : number + 1]})
            if report:
                report(number + 1, own.count)
    return accuracies


def _answer(config: EpisodesConfig, coder: ItemEncoder, episode: Episode) -> tuple[float, float, float]:
    """Return the accuracy of each method on the queries of an episode."""
    support, queries, _ = episode
    learned, batch = _ask(config, coder, episode)
    own = np.zeros((len(support), support.size), np.float32)
    np.put_along_axis(own, support.bits.astype(np.int64), 1.0, axis=1)
    shared = own[:, queries.bits].sum(axis=2).T  # [queries, support]
    classes = support.labels.max() + 1
    means = np.stack([shared[:, support.labels == k].mean(axis=1) for k in range(classes)], axis=1)
    answers = learned.labels.predict(batch.codes), support.labels[shared.argmax(axis=1)], means.argmax(axis=1)
    memory, nearest, prototype = (float(np.mean(answer == queries.labels)) for answer in answers)
    return memory, nearest, prototype


def _ask(config: EpisodesConfig, coder: ItemEncoder, episode: Episode) -> tuple[Learned, ColumnBatch]:
    """Store the examples in a fresh column; return it and what it recalls of the queries."""
    owner = config.build_column()
    ways = config.episodes.ways
    memory = owner.memory()
    labels = LabelMemory.empty(owner.modules, owner.units, ways)
    stored = owner.store_many(memory, episode.support.sdrs())
    labels.learn(stored.codes, episode.support.labels)
    learned = Learned(
        column=owner,
        memory=memory,
        coder=coder,
        items=episode.support,
        codes=stored.codes,
        labels=labels,
        classes=tuple(map(str, range(ways))),
    )
    return learned, owner.recall_many(memory, episode.queries.sdrs())


def _row(shots: int, accuracies: NDArray[np.float64]) -> ShotResult:
    """Return the means of [episodes, methods] accuracies, and their intervals."""
    means = accuracies.mean(axis=0)
    if len(accuracies) > 1:
        spread = Z95 * accuracies.std(axis=0, ddof=1) / np.sqrt(len(accuracies))
    else:
        spread = 0 * means
    ends = [(max(0.0, float(m - s)), min(1.0, float(m + s))) for m, s in zip(means, spread, strict=True)]
    memory, nearest, prototype = map(float, means)
    return ShotResult(
        shots=shots,
        memory=memory,
        memory_interval=ends[0],
        nearest=nearest,
        nearest_interval=ends[1],
        prototype=prototype,
        prototype_interval=ends[2],
    )
