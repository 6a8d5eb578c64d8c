"""Runs of a memory: items as SDRs, storing, figures against brute force, saving, and the config."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosim import Recordings, Spikes
from neurosim.app.runs.memory import config, figures, items, labels, learned, run
from neurosim.app.runs.memory.config import MemoryConfig
from neurosim.app.runs.memory.items import ItemEncoder, ItemVectors, MemoryItems, Raw
from neurosim.app.runs.memory.learned import LEARNED, MEMORY, Learned
from neurosim.app.runs.memory.patches import pictures
from neurosim.app.runs.memory.result import RecallAtSize
from neurosim.base import CapacityWarning, NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.base.plain import from_plain
from neurosim.data import read_state, write_state
from neurosim.memory import SDR, ExpansionEncoder, PatchCode

SMALL = {
    "code": {"size": 512, "active": 16, "fan": 8},
    "column": {"modules": 6, "units": 32},
    "sweep": {"probes": 40, "points": 4, "repeats": 1, "random": 300},
}


def settings(**changes: Any) -> MemoryConfig:
    return from_plain(MemoryConfig, {"data": {"name": "digits"}, **SMALL, **changes})


def random_items(count: int, seed: int = 0, classes: int = 3) -> MemoryItems:
    drawn = [SDR.random(512, 16, seed, i).indices for i in range(count)]
    return MemoryItems(np.stack(drawn), 512, np.arange(count, dtype=np.int64) % classes)


@pytest.fixture(scope="module")
def stored() -> tuple[Learned, list[RecallAtSize]]:
    coder = ItemEncoder(ExpansionEncoder(np.zeros(4), 512, 16))
    return learned.learn(settings(), coder, random_items(60), ("a", "b", "c"), [5, 20, 60])


def test_smoothing_is_a_box_of_three_over_places() -> None:
    counts = np.zeros((1, 2, 2, 6, 6), np.float32)
    counts[0, 1, 0, 2, 5] = 1
    once = items.smoothed(counts, 1)
    expected = np.zeros_like(counts)
    # A quarter along each of two axes. The edge cuts it off; polarities and windows are no neighbours.
    expected[0, 1, 0, 1:4, 4:6] = 1 / 16
    assert np.array_equal(once, expected)
    over_time = items.smoothed(counts, 0, 1)
    assert over_time.sum() == 0.5 and over_time[0, 0, 0, 2, 5] == 0.25
    # Sums of three neighbours without the division would be 3^80.
    often = items.smoothed(np.full((1, 1, 1, 6, 6), 100.0, np.float32), 40)
    assert np.isfinite(often).all() and often.min() > 0 and np.isfinite(often.sum() ** 2)


def test_windows_of_a_recording_are_counted_apart() -> None:
    a = Spikes(np.array([0.0, 0.4, 0.5, 1.0]), np.array([1, 2, 0, 2]), 3, 1.0)
    b = Spikes(np.array([]), np.array([]), 3, 1.0)
    raw = Raw(Recordings.collect([a, b], [0, 1]), np.array([0, 1]), ("x", "y"), "train")
    assert np.array_equal(raw.counts(2)[0], [[0, 1, 1], [1, 0, 1]]) and not raw.counts(2)[1].any()
    code = config.Code(windows=2, smooth=0)
    ((vectors, _),) = ItemVectors(code).chunks(raw)
    assert np.linalg.norm(vectors[0]) == pytest.approx(1) and not vectors[1].any()
    assert raw.seconds == 2.0 and raw.facts()["events"] == 4


def test_vectors_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 6, 6)).astype(np.uint8)
    raw = Raw(pixels, np.zeros(20, np.int64), ("x",), "train")
    whole = np.concatenate([part for part, _ in ItemVectors().chunks(raw)])
    monkeypatch.setattr(items, "CHUNK", 7)
    parts = [part for part, _ in ItemVectors().chunks(raw)]
    assert [len(part) for part in parts] == [7, 7, 6] and np.array_equal(np.concatenate(parts), whole)


def test_storing_in_stretches_is_storing_at_once(stored: tuple[Learned, list[RecallAtSize]]) -> None:
    memory, growth = stored
    whole = memory.column.memory()
    batch = memory.column.store_many(whole, random_items(60).sdrs())
    assert np.array_equal(batch.codes, memory.codes) and np.array_equal(whole.u, memory.memory.u)
    assert [row.stored for row in growth] == [5, 20, 60] and memory.stored == 60
    # However many are stored: the same words.
    assert len({row.store_operations for row in growth}) == len({row.recall_operations for row in growth}) == 1
    assert growth[0].recall == growth[0].exact == 1
    assert [row.filled for row in growth] == sorted(row.filled for row in growth)


def test_the_digest_of_a_memory_tells_what_it_stores_and_what_it_recalls(
    stored: tuple[Learned, list[RecallAtSize]],
) -> None:
    """The codes of a few items are drawn by the seed alone."""
    coder = stored[0].coder
    first, other = (learned.learn(settings(), coder, random_items(2, seed), ("a", "b"), [2])[0] for seed in (0, 1))
    new, old = random_items(3, seed=4), random_items(3, seed=5)
    np.testing.assert_array_equal(first.codes, other.codes)
    cases = [(memory, items) for memory in (first, other) for items in (new, old)]
    assert len({run.digest(memory, items, memory.recall(items)) for memory, items in cases}) == 4


def test_labels_are_counts_of_winners(stored: tuple[Learned, list[RecallAtSize]]) -> None:
    memory, _ = stored
    counts = np.zeros((6, 32, 3), np.int64)
    for code, label in zip(memory.codes, memory.items.labels, strict=True):
        for q, k in enumerate(code):
            counts[q, k, label] += 1
    assert np.array_equal(memory.labels.counts, counts)
    chances = (counts + 0.1) / (counts.sum(axis=2, keepdims=True) + 0.3)
    for code in memory.codes[:20]:
        scores = [sum(np.log(chances[q, k, c]) for q, k in enumerate(code)) for c in range(3)]
        assert memory.labels.predict(code[None])[0] == int(np.argmax(scores))


@pytest.mark.parametrize("kind", ["ridge", "rates"])
def test_classes_are_read_from_the_bits(kind: str, tmp_path: Path) -> None:
    coder = ItemEncoder(ExpansionEncoder(np.zeros(4), 512, 16))
    chosen = settings(readout={"kind": kind})
    # A third of the bits of an item are those of its class.
    own = random_items(60)
    bits = own.bits.copy()
    for label in range(3):
        bits[own.labels == label, :5] = SDR.random(512, 5, 9, label).indices
    bits = np.array([np.sort([*dict.fromkeys([*row, *range(512)])][:16]) for row in bits.tolist()], np.int32)
    train = MemoryItems(bits[:40], 512, own.labels[:40])
    test = MemoryItems(bits[40:], 512, own.labels[40:])
    memory, _ = learned.learn(chosen, coder, train, ("a", "b", "c"), [40])
    answers = memory.recall(test)
    assert (memory.predict(test, answers) == test.labels).all()
    layer = figures.work(memory, answers, test)[-1]
    assert (layer.inputs, layer.outputs, layer.input_events) == (512, 3, 20 * 16)
    # A saved memory learns its readout again from its items.
    memory.save(tmp_path)
    again = Learned.load(tmp_path, chosen)
    assert again.readout == chosen.readout and np.array_equal(again.predict(test, answers), test.labels)
    # One class needs no readout.
    alike = MemoryItems(bits[:40], 512, np.zeros(40, np.int64))
    assert learned.learn(chosen, coder, alike, ("a",), [40])[0].weights is None


def test_a_column_that_did_not_run_says_nothing() -> None:
    readout = labels.LabelMemory.empty(2, 3, 2)
    readout.learn(np.array([[0, 1], [-1, -1]], np.int32), np.array([1, 0]))
    assert readout.counts.sum() == 2
    assert readout.predict(np.array([[0, 1], [-1, -1]], np.int32)).tolist() == [1, 0]
    with pytest.raises(NeurosimInputError, match=r"labels: must be in 0\.\.1 \(got 2"):
        readout.learn(np.zeros((1, 2), np.int32), np.array([2]))


def test_sizes_are_spread_by_equal_ratios() -> None:
    assert learned.sizes_between(1000, 3) == [10, 100, 1000]
    assert learned.sizes_between(1, 8) == [1] and learned.sizes_between(12, 8)[-1] == 12
    assert learned.sizes_between(50, 1) == [50]


def test_separation_is_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(0)
    high = rng.integers(0, 9, 40) / 8
    low = rng.integers(0, 6, 30) / 8
    brute = np.mean([(h > x) + 0.5 * (h == x) for h in high for x in low])
    assert figures.separation(high, low) == pytest.approx(brute)


def test_noise_takes_recall_and_familiarity_away(stored: tuple[Learned, list[RecallAtSize]]) -> None:
    rows = figures.noise(stored[0], settings())
    assert rows[0].familiarity == rows[0].known == rows[0].recall == 1
    familiar = [row.familiarity for row in rows]
    assert familiar == sorted(familiar, reverse=True) and rows[2].recall > 0.99 and rows[-1].recall < 0.3
    # A fraction f of 16 bits moved leaves 1 - f of the evidence, to the power of the exponent; chance adds a little.
    assert rows[5].familiarity == pytest.approx(0.5**4, abs=0.03)


def test_familiarity_tells_what_is_known(stored: tuple[Learned, list[RecallAtSize]]) -> None:
    told, values = figures.familiarity(stored[0], random_items(30, seed=9), settings())
    assert told["stored"].mean == told["stored"].known == 1 and told["stored"].separation is None
    assert max(told["new"].known, told["random"].known) < 0.1 and told["new"].separation == 1
    assert set(values) == set(told) and len(values["new"]) == told["new"].items == 30


def test_similarity_counts_shared_bits_and_winners(stored: tuple[Learned, list[RecallAtSize]]) -> None:
    memory = stored[0]
    found = figures.similarity(memory, settings())
    assert len(found["inputs"]) == len(found["codes"]) > 500
    dense = np.array([item.dense() for item in memory.items.sdrs()]).astype(int)
    nearest = (dense @ dense.T - 16 * np.eye(60, dtype=int)).max() / 16
    assert found["inputs"].max() == nearest
    assert set(np.unique(found["codes"] * 6)) <= set(range(7))
    clean = found["noisy_inputs"] == 1
    assert clean.any() and np.all(found["noisy_codes"][clean] == 1)


def test_work_counts_every_weight_that_is_on(stored: tuple[Learned, list[RecallAtSize]]) -> None:
    memory = stored[0]
    probes = random_items(7, seed=5)
    batch = memory.recall(probes)
    encoder, column, classes = figures.work(memory, batch, probes)
    weights = np.array([[memory.memory.u[0, a // 64, k] >> np.uint64(a % 64) & np.uint64(1) for k in range(6 * 32)]
                        for a in range(512)], int)  # fmt: skip
    assert column.synaptic_operations == sum(weights[item.indices].sum() for item in probes.sdrs())
    assert column.nonzero_weights == weights.sum() and column.weights == 512 * 192
    assert column.input_events == 7 * 16 and column.output_events == 7 * 6
    assert encoder.synaptic_operations == 7 * 512 * 16
    known = np.count_nonzero(memory.labels.counts, axis=2)
    assert classes.synaptic_operations == sum(known[q, k] for code in batch.codes for q, k in enumerate(code))


def test_random_items_follow_theory_up_to_capacity_and_fail_beyond() -> None:
    """Where items hardly overlap: unit evidence to a high power leaves codes independent, as theory takes them."""
    small = settings(column={"modules": 6, "units": 8, "exponent": 16.0})
    coder = ItemEncoder(ExpansionEncoder(np.zeros(4), 512, 16))
    memory = learned.learn(small, coder, random_items(5), ("a",) * 3, [5])[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CapacityWarning)
        rows = figures.random_capacity(memory, small)
    for row in rows:
        if row.expected > 0.98:
            assert row.recall == pytest.approx(row.expected, abs=0.03)
    assert rows[-1].stored == 300


def test_capacity_warnings_become_remarks() -> None:
    lines: list[str] = []
    with learned.capacity_warnings(lines.append) as said:
        warnings.warn("too much", CapacityWarning, stacklevel=1)
    assert lines == said == ["too much"]
    with pytest.warns(UserWarning, match="else"), learned.capacity_warnings(lines.append):
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert lines == ["too much"]


PATCHED = {
    "code": {"kind": "patches", "windows": 2, "size": 512, "active": 16, "fan": 8},
    "patches": {"units": 12, "side": 5, "winners": 3, "pool": 2},
}


def moving_bars(count: int) -> Raw:
    """Return recordings of 12 x 16 pixels, bars that lie or stand, in two windows of time."""
    rng = np.random.default_rng(0)
    recordings = []
    for i in range(count):
        place = rng.integers(2, 10, 40)
        along = rng.integers(0, 12, 40)
        at = i // 2 % 6 + 3
        row, column = (np.full(40, at), along) if i % 2 else (along, np.full(40, at))
        units = (place % 2) * 192 + row * 16 + column
        recordings.append(Spikes(np.sort(rng.uniform(0, 0.1, 40)), units, 384, 0.1, (2, 12, 16)))
    labels = np.arange(count, dtype=np.int64) % 2
    return Raw(Recordings.collect(recordings, labels), labels, ("stands", "lies"), "train")


def test_patches_code_the_pictures_of_items(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(**PATCHED)
    raw = moving_bars(30)
    coder = items.encoder(raw, chosen)
    dictionary = coder.vectors.dictionary
    assert dictionary is not None and dictionary.input_shape == (4, 12, 16) and dictionary.stored == 12
    # The same by hand: planes are windows, then polarities.
    seen = raw.counts(2).reshape(30, -1)
    again = PatchCode((4, 12, 16), units=12, side=5, winners=3, pool=2)
    again.store(seen[:24])
    assert np.array_equal(dictionary.dictionary, again.dictionary)
    roots = np.sqrt(again.encode(seen).reshape(30, -1))
    centred = roots - roots.mean(axis=1, keepdims=True)
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    ((vectors, work),) = coder.vectors.chunks(raw)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    coded = coder.encode(raw)
    assert coded.work == (work,) and work is not None and work.input_events == np.count_nonzero(seen)
    monkeypatch.setattr(items, "CHUNK", 7)
    assert np.array_equal(coder.encode(raw).bits, coded.bits) and coder.encode(raw).work == coded.work


def test_pixels_are_joined_and_grey_levels_are_spikes() -> None:
    raw = moving_bars(3)
    counts = raw.counts(2).sum(axis=1)
    joined = pictures(raw.source, 1, config.PatchesOptions(downsample=5))
    assert joined.shape == (3, 2, 3, 4)
    for row in range(3):
        for column in range(4):
            square = counts[:, :, row * 5 : row * 5 + 5, column * 5 : column * 5 + 5]
            assert np.array_equal(joined[:, :, row, column], square.sum(axis=(2, 3)))
    grey = np.array([0, 31, 32, 128, 255], np.uint8).reshape(1, 1, 5)
    assert pictures(grey, 1, config.PatchesOptions()).tolist() == [[[[0, 0, 1, 4, 7]]]]


def test_a_memory_of_patches_survives_the_folder(tmp_path: Path) -> None:
    chosen = settings(**PATCHED, readout={"kind": "ridge"})
    raw = moving_bars(40)
    coder = items.encoder(raw, chosen)
    train = coder.encode(raw.select(np.arange(30)))
    test = raw.select(np.arange(30, 40))
    memory, _ = learned.learn(chosen, coder, train, raw.classes, [30])
    new = coder.encode(test)
    answers = memory.recall(new)
    assert (memory.predict(new, answers) == test.labels).all()
    assert [layer.name for layer in figures.work(memory, answers, new)] == ["patches", "encoder", "column", "classes"]
    memory.save(tmp_path)
    again = Learned.load(tmp_path, chosen)
    assert np.array_equal(again.coder.encode(test).bits, new.bits)
    assert np.array_equal(again.recall(new).codes, answers.codes)
    # Patches of other units are not those that the bits sum.
    settings_of, arrays = read_state(tmp_path / LEARNED, "Learned", learned.VERSION)
    settings_of["dictionary"]["units"] = 11
    arrays["dictionary.rows"] = arrays["dictionary.rows"][:, :11]
    arrays["dictionary.stored"] = np.array([11])
    write_state(tmp_path / LEARNED, "Learned", learned.VERSION, settings_of, arrays)
    with pytest.raises(NeurosimFormatError, match=f"{MEMORY} and {LEARNED} are not of one store; store again"):
        Learned.load(tmp_path, chosen)


@pytest.mark.slow
def test_a_memory_survives_the_folder(stored: tuple[Learned, list[RecallAtSize]], tmp_path: Path) -> None:
    memory = stored[0]
    memory.save(tmp_path)
    again = Learned.load(tmp_path, settings())
    new = random_items(20, seed=4)
    assert np.array_equal(again.recall(new).codes, memory.recall(new).codes)
    assert np.array_equal(again.labels.counts, memory.labels.counts) and again.classes == memory.classes
    vector = np.ones(4, np.float32)
    assert again.coder.expansion.encode(vector) == memory.coder.expansion.encode(vector)


def test_folders_that_hold_no_memory_are_refused(stored: tuple[Learned, list[RecallAtSize]], tmp_path: Path) -> None:
    memory = stored[0]
    with pytest.raises(NeurosimMissingError, match=r"learned\.safetensors: no such file"):
        Learned.load(tmp_path, settings())
    memory.save(tmp_path)
    whole = (tmp_path / LEARNED).read_bytes()
    (tmp_path / LEARNED).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NeurosimFormatError, match=r"learned\.safetensors: is not a complete neurosim Learned"):
        Learned.load(tmp_path, settings())
    fewer = replace(memory, codes=memory.codes[:-1])
    fewer.save(tmp_path)
    with pytest.raises(NeurosimFormatError, match=f"{MEMORY} and {LEARNED} are not of one store; store again"):
        Learned.load(tmp_path, settings())
    write_state(tmp_path / LEARNED, "Learned", 1, {}, {})
    with pytest.raises(NeurosimFormatError, match="is no memory that was stored"):
        Learned.load(tmp_path, settings())


def test_later_settings_win(tmp_path: Path) -> None:
    path = tmp_path / "memory.toml"
    path.write_text("seed = 1\n[data]\nname = 'digits'\n[code]\nsize = 600\nactive = 9\n[sweep]\nnoise = [0, 0.5]\n")
    found = MemoryConfig.configure(path, ["code.active=11", "column.units=7"], {"seed": 5, "data.split": None})
    assert (found.seed, found.code.size, found.code.active, found.column.units) == (5, 600, 11, 7)
    assert found.code.windows == 6 and found.sweep.noise == (0, 0.5) and found.data.split == "test"


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["code.active=4096"], "code.active: must be < code.size 4096 (got 4096)"),
        (["code.activ=4"], "code.activ: unknown key, from --set; did you mean 'code.active'?"),
        (["column.units=0"], "column.units: must be >= 1 (got 0, from --set)"),
        (["column.form=2011"], "column.form: must be '2017' or '2010' (got 2011, from --set)"),
        (["sweep.noise=[]"], "sweep.noise: must hold at least one fraction (got ())"),
        (
            ["code.size=100", "code.active=60"],
            "sweep.noise: must be <= 0.667, because moved bits need free places (got 0.9)",
        ),
        (["energy.profile=nothing"], "energy.profile: unknown name 'nothing'"),
        (["data.name=digitz"], "dataset: unknown name 'digitz'; did you mean 'digits'?"),
    ],
)
def test_settings_that_break_a_rule_are_named(sets: list[str], message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        MemoryConfig.configure(None, sets, {"data.name": None if "data" in sets[0] else "digits"})
    assert str(error.value).startswith(message) or message.split(": ", 1)[1] in str(error.value)


@pytest.mark.slow
@pytest.mark.data
def test_mnist_images_are_stored_in_one_pass(data_root: Path) -> None:
    found = MemoryConfig.configure(
        None, ["column.units=512", "data.train_limit=1000", "data.limit=300"], {"data.name": "mnist"}
    )
    raw, other = items.load(found.data)
    assert raw.shape == (28, 28) and (len(raw), len(other)) == (1000, 300) and raw.seconds == 0
    assert np.bincount(raw.labels).tolist() == [100] * 10
    coder = items.encoder(raw, found)
    stored_items, new = (coder.encode(each) for each in (raw, other))
    memory, (row,) = learned.learn(found, coder, stored_items, raw.classes, [1000])
    assert row.recall > 0.97
    assert np.mean(memory.labels.predict(memory.recall(new).codes) == other.labels) > 0.8
