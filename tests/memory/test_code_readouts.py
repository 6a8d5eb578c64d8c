"""Readouts of sparse codes against closed forms and plain loops; recognisers of columns and of patches, saved whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.kernels.memory.code_readout import cpu
from neurosim.kernels.memory.code_readout.reference import (
    SparseCodes,
    learn_rates_reference,
    scores_reference,
    spread_reference,
)
from neurosim.learning import OnlineReadout
from neurosim.memory import Hierarchy, Level, PatchCode, Selection, patches
from neurosim.memory.recognition.coders import ColumnCoder, ItemCoder, PatchCoder
from neurosim.memory.recognition.readouts import RateReadout, RidgeReadout, sparse_codes
from neurosim.memory.recognition.recogniser import CodeRecogniser
from neurosim.network.windowed import Arrivals

CLASSES = 3
SHARP = Selection(exponents=(8.0, 0.3, 1.0), chi=1e4, hypothesis=0.9)


def codes(n: int, features: int = 20, seed: int = 0) -> tuple[np.ndarray, SparseCodes, np.ndarray]:
    """Dense values, two in three of them 0, as sparse codes, and labels that depend on them. One item is empty."""
    chance = np.random.default_rng(seed)
    dense = (chance.integers(1, 4, (n, features)) * (chance.random((n, features)) < 1 / 3)).astype(np.float32)
    dense[n // 2] = 0
    labels = (dense[:, :9].reshape(n, 3, 3).sum(axis=2)).argmax(axis=1)
    return dense, sparse_codes(dense), labels.astype(np.int64)


def test_kernels_are_their_references() -> None:
    dense, sparse, labels = codes(15)
    chance = np.random.default_rng(1)
    weights = chance.normal(size=(20, CLASSES)).astype(np.float32)
    out = np.zeros((15, CLASSES))
    cpu.scores(*sparse, weights, out)
    assert np.array_equal(out, scores_reference(sparse, weights))
    assert out == pytest.approx(dense @ weights.astype(float), abs=1e-12)
    amounts = chance.normal(size=(15, CLASSES))
    out = np.zeros((20, CLASSES))
    cpu.spread(*sparse, amounts, out)
    assert np.array_equal(out, spread_reference(sparse, amounts, 20))
    forms = []
    for learn in (cpu.learn_rates, learn_rates_reference):
        own = [np.zeros((20, CLASSES), np.float32), np.zeros(20)]
        plain = (*sparse, labels) if learn is cpu.learn_rates else (sparse, labels)
        learn(*plain, 0.7, *own)
        forms.append(own)
    # Sums over an item's features are in another order.
    assert forms[0][0] == pytest.approx(forms[1][0], rel=1e-5, abs=1e-7) and np.array_equal(forms[0][1], forms[1][1])


def test_ridge_is_the_closed_form() -> None:
    dense, sparse, labels = codes(60)
    readout = RidgeReadout(20, CLASSES, penalty=0.3)
    # In two calls.
    cut = sparse.offsets[25]
    first = SparseCodes(sparse.offsets[:26], sparse.features[:cut], sparse.values[:cut])
    last = SparseCodes(sparse.offsets[25:] - cut, sparse.features[cut:], sparse.values[cut:])
    readout.learn(first, labels[:25])
    readout.learn(last, labels[25:])
    z = dense.astype(float) - dense.mean(axis=0)
    penalty = 0.3 * np.square(z).sum() / 60
    targets = np.where(labels[:, None] == np.arange(CLASSES), 1.0, -1.0)
    weights = np.linalg.solve(z.T @ z + penalty * np.eye(20), z.T @ targets)
    expected = z @ weights + targets.mean(axis=0)
    assert readout.scores(sparse) == pytest.approx(expected, abs=1e-4)
    assert (readout.scores(sparse).argmax(axis=1) == labels).mean() > 0.85


def test_rates_are_those_of_the_online_readout() -> None:
    dense, sparse, labels = codes(30)
    readout = RateReadout(20, CLASSES, rate=0.5)
    readout.learn(sparse, labels)
    model = OnlineReadout(20, CLASSES, features="counts", input_rates=True, learning_rate=0.5)
    state = model.start()
    for values, label in zip(dense, labels, strict=True):
        if not values.any():
            continue
        state.begin()
        units = np.flatnonzero(values).astype(np.int32)
        taught = Arrivals(np.array([label], np.int32), np.ones(1, np.int64))
        state.step({"input": Arrivals(units, values[units].astype(np.int64)), "label": taught}, learn=True)
    assert readout.weights()[0] == pytest.approx(state.arrays()["weights"].T, rel=1e-4, abs=1e-6)


def test_work_is_what_active_features_select() -> None:
    dense, sparse, labels = codes(20)
    readout = RidgeReadout(20, CLASSES)
    readout.learn(sparse, labels)
    work = readout.work(sparse)
    assert work.synaptic_operations == CLASSES * np.count_nonzero(dense) and not work.binary_input
    assert work.dense_operations == 20 * 20 * CLASSES and work.input_events == np.count_nonzero(dense)


def coder(kind: str) -> ItemCoder:
    if kind == "columns":
        low = Level(patches((2, 6, 6), 3, 3), 2, 24, lateral=False, selection=SHARP, frozen_above=0.49)
        high = Level(np.arange(4).reshape(1, 4), 3, 16, selection=SHARP)
        return ColumnCoder(Hierarchy(72, (low, high), top_down=False), frames=2)
    low_code = PatchCode((2, 6, 6), units=8, side=3, winners=2, pool=3)
    return PatchCoder([low_code, PatchCode(low_code.output_shape, units=5, side=2, winners=2, pool=2)], frames=2)


def items(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy copies of three patterns of two frames."""
    patterns = np.random.default_rng(1).random((CLASSES, 2, 72)) < 0.4
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, CLASSES, n)
    return (patterns[labels] ^ (chance.random((n, 2, 72)) < 0.03)).astype(np.uint8), labels


@pytest.mark.parametrize("kind", ["columns", "patches"])
@pytest.mark.parametrize("readout", [RateReadout, RidgeReadout])
def test_what_is_stored_once_is_recognised_and_saved_whole(
    kind: str, readout: type[RateReadout | RidgeReadout], tmp_path: Path
) -> None:
    own = coder(kind)
    recogniser = CodeRecogniser(own, readout(own.features, CLASSES))
    recogniser.store(*items(40))
    new, labels = items(60, seed=7)
    answers = recogniser.recognise(new, threads=2)
    assert (answers.labels == labels).mean() > 0.9
    # ItemCoder, then readout; a feature that is not 0 selects a row.
    assert len(answers.work) == 3 and answers.work[-1].input_events == len(own.encode(new, 1).codes.features)
    recogniser.save(tmp_path / "r.safetensors")
    again = CodeRecogniser.load(tmp_path / "r.safetensors")
    for each in (recogniser, again):
        each.store(*items(9, seed=2))
    assert again.stored == 49
    assert np.array_equal(again.recognise(new).scores, recogniser.recognise(new).scores)


def test_features_of_columns_are_winners_level_by_level() -> None:
    own = coder("columns")
    assert isinstance(own, ColumnCoder)
    inputs, _ = items(5)
    own.store(inputs, 1)
    batches = own.hierarchy.recall_many(own.memory, inputs)
    codes = own.encode(inputs, 1).codes
    # Of frame 1, column 2, module 1 of the lower level: the winner of item 3.
    module = (1 * 4 + 2) * 2 + 1
    assert batches[0].codes.reshape(5, 2, 4, 2)[3, 1, 2, 1] + module * 24 in codes.features[codes.offsets[3] :]
    # Frames x columns x modules x units of both levels.
    assert own.features == 2 * 4 * 2 * 24 + 2 * 1 * 3 * 16
    assert codes.offsets.tolist() == [22 * i for i in range(6)]


def test_bad_codes_labels_and_files_are_named(tmp_path: Path) -> None:
    _, sparse, labels = codes(6)
    readout = RidgeReadout(19, CLASSES)
    with pytest.raises(NeurosimInputError, match=r"RidgeReadout: codes: must be features 0..18"):
        readout.learn(sparse, labels)
    rates = RateReadout(20, CLASSES)
    for wrong, message in ((labels[:2], r"must be 6 integers \(got \(2,\)\)"), (labels + 1, r"must be in 0..2")):
        with pytest.raises(NeurosimInputError, match=message):
            rates.learn(sparse, wrong)
    assert not rates.weights()[0].any()
    with pytest.raises(NeurosimInputError, match=r"RateReadout.rate: must be > 0 and <= 1"):
        RateReadout(20, CLASSES, rate=2.0)
    with pytest.raises(NeurosimInputError, match=r"CodeRecogniser.readout: must have 184 features"):
        CodeRecogniser(coder("patches"), RateReadout(3, CLASSES))
    PatchCode((4, 4), side=2, pool=1, units=8).save(tmp_path / "other")
    with pytest.raises(NeurosimFormatError):
        CodeRecogniser.load(tmp_path / "other")
