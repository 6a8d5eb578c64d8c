"""The five runs of a memory: store, recall, capacity, noise, familiarity. Each writes a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import files, measure
from ...data import catalog
from ...errors import NeurosimInputError
from ...macrocolumn import ColumnBatch
from ..config import sources_of
from ..folder import MEMORY, METRICS, RunFolder, check_out, open_run, read_metrics, record
from ..score import score
from . import figures
from .config import MemoryConfig, reconfigure_memory
from .items import Items, Raw, encode, encoder, load
from .learned import Learned, capacity_said, learn, marks

PICTURES = "pictures.safetensors"
WELL = 0.9  # of winners: from here on a memory holds what it stored
SHOWN = 6  # items whose codes are drawn
Finish = Sequence[Callable[[Path], object]]


@dataclass
class Job:
    """One run: its config and the options that decide nothing.

    Attributes:
        config: decides the results.
        out, command, quiet: as in `runs.simulate`.
        threads: of the encoder; items are stored one after the other.
        say: told what a user should know.
        finish: called with the folder when its results are written.
        seconds: wall-clock seconds of the parts done.
    """

    config: MemoryConfig
    out: Path | None = None
    threads: int = 1
    quiet: bool = True
    command: Sequence[str] = ()
    say: Callable[[str], None] = lambda line: None
    finish: Finish = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Take the time of a part."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 6)


@dataclass(frozen=True, eq=False)
class Data:
    """What a run works on: items before they are SDRs, and as such."""

    stored: Raw
    other: Raw
    items: Items
    new: Items


def store(job: Job) -> dict[str, Any]:
    """Store a dataset's first split in one pass; the folder then holds a memory that `recall` loads."""

    def body(run: RunFolder, data: Data, learned: Learned, growth: list[dict[str, Any]]) -> dict[str, Any]:
        learned.save(run.path)
        return {"growth": growth}

    return _run(job, "store", body, points=job.config.sweep.points)


def capacity(job: Job) -> dict[str, Any]:
    """Recall, time and operations against the number stored, for the dataset's items and for random ones."""

    def body(run: RunFolder, data: Data, learned: Learned, growth: list[dict[str, Any]]) -> dict[str, Any]:
        # Beyond capacity is where this goes.
        with job.clock("random"), capacity_said(lambda line: None):
            return {"growth": growth, "random": figures.random_capacity(learned, job.config)}

    return _run(job, "capacity", body, points=job.config.sweep.points)


def noise(job: Job) -> dict[str, Any]:
    """Recall of stored items whose active bits were moved."""

    def body(run: RunFolder, data: Data, learned: Learned, growth: list[dict[str, Any]]) -> dict[str, Any]:
        with job.clock("noise"):
            return {"noise": figures.noise(learned, job.config)}

    return _run(job, "noise", body)


def familiarity(job: Job) -> dict[str, Any]:
    """Familiarity of stored items against new ones, which every run has."""
    return _run(job, "familiarity", lambda run, data, learned, growth: {})


def recall(job: Job, source: Path) -> dict[str, Any]:
    """Recall a split from the memory in the folder of a `store` run: classes, familiarity, and the stored items.

    Raises:
        NeurosimMissingError, NeurosimFormatError: the folder holds no such memory.
    """
    config = job.config
    if job.out is not None:
        check_out(job.out)
        if job.out.resolve() == source.resolve():
            raise NeurosimInputError(f"--out: must be another folder than that of the memory (got {job.out})")
    with job.clock("load"):
        learned = Learned.load(source)
        raw = load(config)[1]
    if raw.classes != learned.classes:
        raise NeurosimInputError(f"{source}: stored classes {learned.classes}, and {raw.name} has {raw.classes}")
    with job.clock("encode"):
        new = encode(raw, learned.coder, config.code, job.threads)
    with record(config.model_dump(), f"recall-{config.data.name}", job.out, job.command, job.say) as run:
        run.note(kind=MEMORY, data={raw.name: raw.facts()}, memory=str(source))
        result = {"source": str(source), **_common(job, run, "recall", learned, raw, new)}
        return _finish(job, run, result)


def source_config(source: Path, file: Path | None, sets: Sequence[str], given: Mapping[str, Any]) -> MemoryConfig:
    """The config of a stored memory, with what may change when recalling from it: data, sweep, energy.

    Raises:
        NeurosimInputError: `source` is no folder of a `store` run, or a setting that the memory depends on.
    """
    run = open_run(source)
    if run.manifest.get("kind") != MEMORY or run.manifest.get("command_kind") != "store":
        raise NeurosimInputError(f"{source}: holds no memory; give the folder of a 'neurosim memory store' run")
    after = reconfigure_memory(run, sources_of(file, sets, given), ("data", "sweep", "energy"))
    was = read_metrics(run).get("dataset")
    if after.data.name != was:
        raise NeurosimInputError(f"data.name: must be {was}, which {source} was stored from (got {after.data.name})")
    return after


Body = Callable[[RunFolder, Data, Learned, list[dict[str, Any]]], dict[str, Any]]


def _run(job: Job, what: str, body: Body, points: int = 1) -> dict[str, Any]:
    """Load, encode, store in one pass, let `body` measure, write everything."""
    config = job.config
    if job.out is not None:
        check_out(job.out)
    with job.clock("load"):
        stored, other = load(config)
    with job.clock("encode"):
        coder = encoder(stored, config)
        items, new = (encode(raw, coder, config.code, job.threads) for raw in (stored, other))
        data = Data(stored, other, items, new)
    with record(config.model_dump(), f"{what}-{config.data.name}", job.out, job.command, job.say) as run:
        run.note(kind=MEMORY, command_kind=what, data={r.name: r.facts() for r in (stored, other)})
        with (
            job.clock("store"),
            _bar(f"storing {config.data.name}", job.quiet) as report,
            capacity_said(job.say) as said,
        ):
            learned, growth = learn(config, coder, data.items, stored.classes, marks(len(data.items), points), report)
        said += _overfull(job, growth)
        found = body(run, data, learned, growth)
        result = {**_common(job, run, what, learned, other, data.new, stored), **found, "warnings": said}
        return _finish(job, run, result)


def _overfull(job: Job, growth: Sequence[Mapping[str, Any]]) -> list[str]:
    """A remark where less is recalled than should be: items that are alike fill a memory sooner than random ones."""
    last = growth[-1]
    if last["recall"] >= WELL:
        return []
    well = max((row["stored"] for row in growth if row["recall"] >= WELL), default=0)
    line = (
        f"{last['stored']:,} items are stored, and {last['recall']:.1%} of the winners are recalled"
        + (f" ({well:,} were recalled well)" if well else "")
        + "; store fewer (--items), or give column.units, or a higher column.exponent for items that are alike"
    )
    job.say(line)
    return [line]


def _common(
    job: Job, run: RunFolder, what: str, learned: Learned, other: Raw, new: Items, stored: Raw | None = None
) -> dict[str, Any]:
    """The figures every run has: stored items recalled, the other split classified, familiarity, measures, energy."""
    config = job.config
    chosen = learned.probes(config.sweep.probes)
    probes = learned.items.select(chosen)
    with job.clock("recall"):
        again, answers = learned.recall(probes), learned.recall(new)
    right = again.codes == learned.codes[chosen]
    told, values = figures.familiarity(learned, new, config)
    alike = figures.similarity(learned, config)
    _write_pictures(run, learned, config, values, alike, stored)
    layers = figures.work(learned, answers, new)
    active = int(learned.items.bits.shape[1])
    return {
        "kind": MEMORY,
        "command_kind": what,
        "dataset": config.data.name,
        "title": catalog.module(config.data.name).INFO.title,
        "split": other.name,
        "samples": len(new),
        "seed": config.seed,
        "classes": list(learned.classes),
        "column": {
            "inputs": learned.column.inputs,
            "active": active,
            "modules": learned.column.modules,
            "units": learned.column.units,
            "weights": learned.column.weights["U"],
            "filled": float(learned.memory.filled["U"]),
        },
        "stored": learned.stored,
        "capacity": int(learned.column.capacity(active)),
        "expected_recall": float(learned.column.expected_recall(learned.stored, active)),
        "recall": float(right.mean()),
        "exact": float(right.all(axis=1).mean()),
        **vars(score(new.labels, learned.labels.predict(answers.codes), learned.classes, learned.items.labels)),
        "familiarity": told,
        "threshold": config.column.threshold,
        "operations": {"recall": _mean_operations(answers), "stored_recall": _mean_operations(again)},
        "outside_bounds": int(np.count_nonzero(answers.codes[:, 0] < 0)),
        "digest": _digest(learned.codes),
        "measures": measure.measure(layers, len(new), other.seconds, int(answers.active.sum())).to_dict(),
        "energy": measure.energy(layers, len(new), config.energy.profile).to_dict(),
    }


def _finish(job: Job, run: RunFolder, result: dict[str, Any]) -> dict[str, Any]:
    result |= {"run": str(run.path), "timings": {**job.seconds, "total": round(sum(job.seconds.values()), 6)}}
    files.write_json(run.path / METRICS, result)
    run.note(code_digest=result["digest"])
    run.close("done")
    for step in job.finish:
        step(run.path)
    return result


def _write_pictures(
    run: RunFolder,
    learned: Learned,
    config: MemoryConfig,
    familiar: Mapping[str, NDArray],
    alike: Mapping[str, NDArray],
    stored: Raw | None,
) -> None:
    """What the report draws, as arrays: codes of some items and of the same under noise, and the pairs."""
    firsts = [int(np.flatnonzero(learned.items.labels == k)[0]) for k in np.unique(learned.items.labels)[:SHOWN]]
    chosen = np.array(firsts)
    shown = learned.items.select(chosen)
    moved = shown.noisy(min(figures.NOISY, max(config.sweep.noise)), config.seed)
    arrays = {
        **{f"familiarity_{name}": np.asarray(values, np.float32) for name, values in familiar.items()},
        **{f"similarity_{name}": values for name, values in alike.items()},
        "shown_labels": shown.labels,
        "shown_bits": shown.bits,
        "shown_codes": learned.codes[chosen],
        "shown_noisy_codes": learned.recall(moved).codes,
    }
    if stored is not None:
        arrays["shown_inputs"] = _pictures(stored.select(chosen))
    files.write_arrays(run.path / PICTURES, arrays)


def _pictures(raw: Raw) -> NDArray[np.float32]:
    """[n, height, width] what the items look like: events or grey levels, or channels over time."""
    image = len(raw.shape) in (2, 3)
    counts = raw._counts(1 if image else 32)
    counts = counts.reshape(len(raw), -1, *raw.shape[-2:]).sum(axis=1) if image else counts.transpose(0, 2, 1)
    return np.ascontiguousarray(counts, np.float32)


def _mean_operations(batch: ColumnBatch) -> dict[str, float]:
    return {
        "words": float(batch.operations.mean()),
        "least_words": int(batch.operations.min()),
        "most_words": int(batch.operations.max()),
        "synaptic": float(batch.synaptic_operations.mean()),
    }


def _digest(codes: NDArray[np.int32]) -> str:
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(codes, "<i4").tobytes()).hexdigest()


@contextmanager
def _bar(what: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar in items; none if `quiet` or off a terminal."""
    if quiet:
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=what, unit=" items", delay=2.0, disable=None, leave=False) as shown:

        def report(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield report
