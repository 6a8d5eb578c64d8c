"""Settings that count for nothing beside the others are refused; their usual values are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from neurosim.app.runs.convert import ConversionKind, CurveKind
from neurosim.app.runs.frame.recorder import without_none
from neurosim.app.runs.frame.registry import find_kind
from neurosim.base import NeurosimInputError
from neurosim.base.json_toml import write_toml

pytest.importorskip("torch")
DIGITS = "data.name=digits"
UNUSED: list[tuple[str, tuple[str, ...], str]] = [
    ("memory", (DIGITS, "readout.rate=0.5"), "readout.rate: has no use with readout.kind 'winners'"),
    ("memory", (DIGITS, "readout.kind=rates", "readout.penalty=1.0"), "readout.penalty: has no use with"),
    ("memory", (DIGITS, "patches.units=30"), "patches.units: has no use with code.kind 'counts'"),
    ("memory", (DIGITS, "code.kind=patches", "code.smooth=3"), "code.smooth: has no use with code.kind 'patches'"),
    ("memory", (DIGITS, "code.kind=patches", "patches.grey=3"), "patches.grey: has no use for recordings"),
    ("memory", (DIGITS, "column.form='2010'", "column.chi=5.0"), "column.chi: has no use with column.form '2010'"),
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
]


def kind_of(name: str) -> Any:
    """Return a kind of run; conversions have a model, which no setting names."""
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
