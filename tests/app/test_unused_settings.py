"""Settings that count for nothing beside the others are refused; their usual values are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from neurosim.app.runs.continual.config import configure as configure_continual
from neurosim.app.runs.convert import ConversionKind, CurveKind
from neurosim.app.runs.frame.recorder import without_none
from neurosim.app.runs.frame.registry import find_kind
from neurosim.app.runs.memory import StoreKind
from neurosim.base import NeurosimInputError
from neurosim.base.json_toml import write_toml

pytest.importorskip("torch")
DIGITS = "data.name=digits"
SPLIT = "stream.kind=split"
CONTINUAL: list[tuple[str, tuple[str, ...], str]] = [
    (
        "continual",
        ("learners.macrocolumn.side=7",),
        "learners.macrocolumn.side: has no use without shape; leave it out",
    ),
    (
        "continual",
        ("learners.macrocolumn.shape=[8, 8]", "learners.macrocolumn.field=9"),
        "learners.macrocolumn.field: has no use with shape [8, 8]",
    ),
    ("continual", ("learners.dendrites.spikes=4",), "learners.dendrites.spikes: has no use with engine false"),
    ("continual", ("learners.hlop.spikes=2",), "learners.hlop.spikes: has no use with engine false"),
    ("continual", ("learners.hlop.kernel=3",), "learners.hlop.kernel: has no use without filters"),
    ("continual", ("learners.sema.backbone_items=9",), "learners.sema.backbone_items: has no use without backbone"),
    ("continual", ("learners.hypernetwork.grow=9",), "learners.hypernetwork.grow: has no use with grow_every 0"),
    ("continual", ("learners.hypernetwork.samples=9",), "learners.hypernetwork.samples: has no use with dependency"),
    ("continual", ("learners.lwf.strength=0", "learners.lwf.temperature=3"), "learners.lwf.temperature: has no use"),
    ("continual", ("learners.ewc.strength=0", "learners.ewc.samples=3"), "learners.ewc.samples: has no use with"),
    ("continual", ("learners.si.strength=0", "learners.si.damping=0.1"), "learners.si.damping: has no use with"),
    (
        "continual",
        ("learners.projected.penalty=0.1", "learners.projected.epochs=1", "learners.projected.learning_rate=0.1"),
        "learners.projected.learning_rate: has no use with penalty 0.1",
    ),
    ("continual", ("learners.random_filters.windows=sum",), "learners.random_filters.windows: has no use for images"),
    (
        "continual",
        ("learners.plain={}", "stream.source=digits-events", "learners.plain.steps=4"),
        "learners.plain.steps: has no use for recordings, which have their own",
    ),
    ("continual", ("learners.plain={}", "stream.windows=5"), "stream.windows: has no use for items that are no rec"),
    ("continual", ("stream.source=digits-events", "stream.still=false"), "stream.still: has no use for items that"),
    ("continual", ("stream.kind=mixed", "stream.sources=['digits']", "stream.windows=5"), "stream.windows: has no use"),
    ("continual", (SPLIT, "stream.groups=[[0, 1], [2, 3]]", "stream.each=3"), "stream.each: has no use beside"),
    ("continual", ("learners.dendrites={}", "common.spikes=3"), "common.spikes: has no use with engine false"),
    (
        "continual",
        ("learners.dendrites={}", "sweep.dendrites.spikes=[2, 3]"),
        "sweep.dendrites.spikes: has no use with",
    ),
    (
        "continual",
        ("learners.plain={}", "online=true", "sweep.common.epochs=[1, 3]"),
        "sweep.plain.epochs: has no use in one pass",
    ),
]
UNUSED: list[tuple[str, tuple[str, ...], str]] = [
    ("memory", (DIGITS, "readout.rate=0.5"), "readout.rate: has no use with readout.kind 'winners'"),
    ("memory", (DIGITS, "readout.kind=rates", "readout.penalty=1.0"), "readout.penalty: has no use with"),
    ("memory", (DIGITS, "patches.units=30"), "patches.units: has no use with code.kind 'counts'"),
    ("memory", (DIGITS, "code.kind=patches", "code.smooth=3"), "code.smooth: has no use with code.kind 'patches'"),
    ("memory", (DIGITS, "code.kind=patches", "patches.grey=3"), "patches.grey: has no use for recordings"),
    ("memory", (DIGITS, "column.form='2010'", "column.chi=5.0"), "column.chi: has no use with column.form '2010'"),
    ("memory", (DIGITS, "sweep.random=9"), "sweep.random: has no use for 'memory store'; leave it out"),
    ("noise", (DIGITS, "sweep.points=3"), "sweep.points: has no use for 'memory noise'"),
    ("noise", (DIGITS, "baselines.cnn=true"), "baselines.cnn: has no use for 'memory noise'"),
    ("episodes", (DIGITS, "sweep.points=3"), "sweep.points: has no use for episodes"),
    ("recognise", (DIGITS, "code.units=30"), "code.units: has no use with code.kind 'columns'"),
    ("recognise", (DIGITS, "code.kind=patches", "view.min_spikes=1"), "view.min_spikes: has no use with"),
    ("recognise", (DIGITS, "readout.penalty=1.0"), "readout.penalty: has no use with readout.kind 'bayes'"),
    ("liquid", (DIGITS, "readout.hidden=64"), "readout.hidden: has no use with readout.kind 'ridge'; leave it out"),
    ("liquid", (DIGITS, "readout.tau=0.1"), "readout.tau: has no use with readout.features 'counts'"),
    ("liquid", (DIGITS, "liquid.wiring=uniform", "liquid.radius=0.1"), "liquid.radius: has no use with"),
    ("liquid", (DIGITS, "copies.count=0", "copies.shift=1"), "copies.shift: has no use with copies.count 0"),
    ("liquid", ("data.name=shd", "copies.count=1"), "copies.count: has no use for a sensor without rows"),
    ("series", ("series.name=table.csv", "series.values=900"), "series.values: has no use for a table"),
    ("series", ("series.name=narma10", "liquid.hot_filter=false"), "liquid.hot_filter: has no use for a series"),
    ("reconstruct", ("system.name=lorenz63", "refine=false", "refinement.rate=0.2"), "refinement.rate: has no use"),
    ("reconstruct", ("system.name=lorenz63", "system.train=0.7"), "system.train: has no use for lorenz63"),
    ("edges", ("edges.file=e.csv", "activate.weight=2.0"), "activate.weight: has no use with activate.rate 0"),
    ("edges", ("edges.file=e.csv", "edges.delay_scale=0.001"), "edges.delay_scale: has no use with edges.delay"),
    ("attention", ("training.predictor_steps=2",), "training.predictor_steps: has no use with"),
    ("train", (DIGITS, "network.tau_adapt=0.1"), "network.tau_adapt: has no use with network.neuron 'LIF'"),
    ("train", (DIGITS, "network.filters=[]", "network.kernel=3"), "network.kernel: has no use with"),
    ("train", (DIGITS, "network.tap_steps=3"), "network.tap_steps: has no use with network.taps 1"),
    ("train", (DIGITS, "augment.lagged=0.5"), "augment.lagged: has no use with augment.lag 0"),
    ("train", ("data.name=nmnist", "training.patience=5"), "training.patience: has no use with validation.fraction"),
    ("train", (DIGITS, "liquid.transductive=speaker"), "liquid.transductive: has no use with liquid.use false"),
    ("train", (DIGITS, "attention.kind=gla", "training.sparsity=0.1"), "training.sparsity: has no use with attention"),
    ("train", (DIGITS, "attention.kind=plstm2d", "attention.k=2.0"), "attention.k: has no use with attention.kind"),
    ("linearise", ("coding.levels=7",), "coding.levels: has no use with coding.scheme 'ternary'"),
    (
        "linearise",
        ("stages.tune.full=true", "stages.tune.rank=2"),
        "stages.tune.rank: has no use with stages.tune.full",
    ),
    ("convert", ("coding.spikes=0.5",), "coding.spikes: has no use with coding.scheme 'ternary'"),
    ("convert", ("coding.scheme=qcfs", "coding.k=2.0"), "coding.k: has no use with coding.scheme 'qcfs'"),
    ("convert", ("coding.k=2.0", "coding.rotate=false"), "coding.rotate: has no use with coding.scheme 'ternary'"),
    ("convert", ("coding.k=2.0", "choice.trials=3"), "choice.trials: has no use without choice.loss"),
    ("convert", ("coding.k=2.0", "tuning.batch=4"), "tuning.batch: has no use with tuning.steps 0"),
    ("convert", ("coding.k=2.0", "curve.tokens=9"), "curve.tokens: has no use for one conversion"),
    ("curve", ("coding.levels=7",), "coding.levels: has no use for a curve"),
    *CONTINUAL,
]


def kind_of(name: str) -> Any:
    """Return a kind of run; conversions have a model, which no setting names."""
    if name == "noise":
        return StoreKind("noise")
    conversions = {"convert": ConversionKind, "curve": CurveKind}
    return conversions[name](Path("lm")) if name in conversions else find_kind(name)


@pytest.mark.parametrize(("name", "sets", "message"), UNUSED, ids=lambda value: str(value)[:40])
def test_a_setting_without_use_is_refused(name: str, sets: tuple[str, ...], message: str) -> None:
    kind = kind_of(name)
    kind.configure(sets=sets[:-1])
    with pytest.raises(NeurosimInputError) as error:
        kind.configure(sets=sets)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(("name", "sets"), sorted({(name, sets[:-1]) for name, sets, _ in UNUSED}))
def test_all_settings_of_a_run_are_a_config(tmp_path: Path, name: str, sets: tuple[str, ...]) -> None:
    """A file that holds every setting, as config.toml and --show-config do, names those without use, too."""
    kind = kind_of(name)
    config = kind.configure(sets=sets)
    write_toml(tmp_path / "all.toml", without_none(kind.settings(config)))
    again = kind.configure(tmp_path / "all.toml")
    assert kind.settings(again) == kind.settings(config)


def test_a_usual_value_is_no_error_where_it_has_no_use() -> None:
    assert kind_of("liquid").configure(sets=(DIGITS, "readout.hidden=512")).readout.hidden == 512


def test_a_setting_that_some_rows_need_stays() -> None:
    """A grid may need a setting at some of its points; a key of [common] goes to the learners that use it."""
    grid = ("learners.dendrites.spikes=4", "sweep.dendrites.engine=[false, true]")
    assert configure_continual(sets=grid, only=("dendrites",)).learners["dendrites"]["spikes"] == 4
    shared = configure_continual(sets=("learners.liquid={}", "learners.dendrites={}", "common.spikes=3"))
    assert shared.learners["liquid"]["spikes"] == 3 and shared.learners["dendrites"]["spikes"] == 8
    assert {row.learner: row.settings["spikes"] for row in shared.rows} == {"liquid": 3, "dendrites": 8}
