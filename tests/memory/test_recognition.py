"""Single-trial classification: counts against plain loops, one pass, flat cost, and real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimInputError
from neurosim.data import catalog
from neurosim.datasets import mnist
from neurosim.memory import Hierarchy, Level, Recogniser, Selection, build_recogniser, on_off_pixels, patches
from neurosim.memory.macrocolumn.encoders import on_off_spectrum, on_off_windows
from neurosim.memory.macrocolumn.saved import load, save

SHARP = Selection(exponents=(8.0, 0.3, 1.0), chi=1e4, hypothesis=0.9)


def small(lateral: bool = True) -> Recogniser:
    low = Level(patches((1, 8, 12), 4, 2), 3, 24, lateral=False, selection=SHARP, frozen_above=0.49)
    high = Level(patches((1, 3, 5), 2), 2, 16, lateral=lateral, selection=SHARP)
    return Recogniser(Hierarchy(96, (low, high), top_down=False, seed=5), 2, 4)


def shapes(n: int, seed: int = 0, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Noisy copies of four patterns of two frames, each with as much on as off."""
    patterns = np.random.default_rng(1).random((4, 2, 48)) < 0.5
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, 4, n)
    on = patterns[labels] ^ (chance.random((n, 2, 48)) < noise)
    return np.concatenate([on, ~on], axis=2).astype(np.uint8), labels


def test_votes_are_naive_bayes() -> None:
    """Of one frame, one column, one module: the posterior that counts give."""
    level = Level(np.array([[0, 1, 2, 3]]), 1, 8, lateral=False, selection=SHARP, frozen_above=0.49)
    owner = Recogniser(Hierarchy(4, (level,), top_down=False, seed=1), 1, 2, smoothing=0.5)
    memory = owner.memory()
    a = [[1, 1, 0, 0]]
    b = [[0, 0, 1, 1]]
    owner.store(memory, np.array([a, a, b, a, b]), np.array([0, 0, 0, 1, 1]))
    found = owner.recognise(memory, np.array([a, b]))
    for scores, mine in zip(found.scores, ([2, 1], [1, 1]), strict=True):
        assert scores == pytest.approx(np.log((np.array(mine) + 0.5) / (np.array([3, 2]) + 4.0)), abs=1e-6)


def test_items_seen_once_are_recognised() -> None:
    owner = small()
    memory = owner.memory()
    items, labels = shapes(60)
    owner.store(memory, items, labels)
    assert memory.stored == 60 and memory.classes.tolist() == np.bincount(labels).tolist()
    new, truth = shapes(200, seed=9)
    assert (owner.recognise(memory, new).labels == truth).mean() >= 0.97


def test_neither_chunks_nor_threads_change_anything() -> None:
    items, labels = shapes(40)
    new, _ = shapes(30, seed=2)
    owner = small()
    found = []
    for parts, threads in ((1, 1), (7, 1), (1, 3)):
        memory = owner.memory()
        for part in np.array_split(np.arange(40), parts):
            owner.store(memory, items[part], labels[part], threads)
        got = owner.recognise(memory, new, threads)
        found.append((memory.counts[1].tobytes(), memory.hierarchy.levels[1].h.tobytes(), got.scores.tobytes()))
    assert found[0] == found[1] == found[2]


def test_operations_are_the_same_for_every_item() -> None:
    owner = small()
    memory = owner.memory()
    items, labels = shapes(300)
    assert len(set(owner.store(memory, items, labels).tolist())) == 1
    assert len(set(owner.recognise(memory, items).operations.tolist())) == 1


def test_saved_and_loaded_recognises_alike(tmp_path: Path) -> None:
    owner = small()
    memory = owner.memory()
    owner.store(memory, *shapes(30))
    save(tmp_path / "r.safetensors", owner, memory)
    other, again = load(tmp_path / "r.safetensors")
    items, labels = shapes(20, seed=3)
    for each, held in ((owner, memory), (other, again)):
        each.store(held, items, labels)
    a = owner.recognise(memory, items)
    b = other.recognise(again, items)
    assert np.array_equal(a.scores, b.scores) and again.stored == 50
    with pytest.raises(NeurosimInputError, match=r"save: needs a column, hierarchy or recogniser and its memory"):
        save(tmp_path / "r.safetensors", owner, memory.hierarchy)


def test_bad_input_is_refused_and_nothing_stored() -> None:
    owner = small()
    memory = owner.memory()
    items, labels = shapes(3)
    for changed, known, message in (
        (items[:, :1], labels, "Recogniser: needs items [items, 2, 96] (got (3, 1, 96))"),
        (items, labels[:2], "Recogniser.store.labels: must be 3 integers (got (2,))"),
        (items, labels + 4, "Recogniser.store.labels: must be < 4 (got"),
        (items, labels - 9, "Recogniser.store.labels: must be >= 0 (got"),
        (items, labels + 0.5, "Recogniser.store.labels: must be 3 integers"),
    ):
        with pytest.raises(NeurosimInputError) as error:
            owner.store(memory, changed, known)
        assert str(error.value).startswith(message)
    assert memory.stored == 0 and not memory.counts[0].any() and not memory.hierarchy.levels[0].u.any()
    with pytest.raises(NeurosimInputError, match=r"memory: must be of this recogniser"):
        owner.recognise(Recogniser(owner.hierarchy, 1, 4).memory(), items)
    with pytest.raises(NeurosimInputError, match="recogniser: unknown name 'mnits'; did you mean 'mnist'"):
        build_recogniser("mnits")
    for changes, message in (
        ({"frames": 0}, "Recogniser.frames: must be >= 1"),
        ({"smoothing": 0.0}, "Recogniser.smoothing: must be > 0"),
    ):
        with pytest.raises(NeurosimInputError, match=message):
            Recogniser(**{"hierarchy": owner.hierarchy, "frames": 1, "classes": 2, **changes})
    assert owner.recognise(memory, items[:0]).labels.size == 0


def test_views_have_as_much_on_as_off() -> None:
    chance = np.random.default_rng(0)
    spikes = [Spikes.sort(chance.random(400) * 0.3, chance.integers(0, 60, 400), 60, 0.3) for _ in range(3)]
    recordings = Recordings.collect(spikes)
    for view, frames, half in (
        (on_off_windows(recordings, 4), 4, 60),
        (on_off_spectrum(recordings, 5, 2, 20), 5, 240),
    ):
        assert view.shape == (3, frames, 2 * half) and (view.sum(axis=2) == half).all()
    images = chance.integers(0, 256, (2, 5, 6))
    assert np.array_equal(on_off_pixels(images)[:, 0, :30], (images > 100).reshape(2, 30))
    shades = on_off_pixels(images, [200, 50])
    assert np.array_equal(shades[:, 0, :30], (images > 200).reshape(2, 30))
    assert np.array_equal(shades[:, 0, 30:60], (images > 50).reshape(2, 30)) and (shades.sum(axis=2) == 60).all()


def test_windows_past_the_end_count_in_the_last() -> None:
    recordings = Recordings.collect([Spikes([0.0, 0.1, 0.29, 0.5], [0, 1, 1, 1], 2, 0.6)])
    assert on_off_windows(recordings, 3, 0.3, 1)[0, :, :2].tolist() == [[1, 0], [0, 1], [0, 1]]


def test_bad_views_are_refused() -> None:
    recordings = Recordings.collect([Spikes([0.1], [0], 2, 0.6)])
    for build, message in (
        (lambda: on_off_windows(recordings, 0), "number: must be >= 1 windows"),
        (lambda: on_off_spectrum(recordings, channels=3), "on_off_spectrum.channels: must be in 1..2"),
        (lambda: on_off_spectrum(recordings, joined=0, channels=2), "on_off_spectrum.joined: must be >= 1 windows"),
        (lambda: on_off_pixels(np.zeros((1, 2, 2)), []), "on_off_pixels.threshold: must be one at least"),
        (lambda: on_off_pixels(np.zeros((28, 28))), r"on_off_pixels.images: must be \[n, height, width\]"),
    ):
        with pytest.raises(NeurosimInputError, match=message):
            build()


@pytest.mark.data
def test_digits_of_mnist_seen_once(data_root: Path) -> None:
    """20 images a class, and a part of the training set to test on; 200 a class reach more, see benchmarks."""
    shown = mnist.images("train", data_root / "MNIST")
    chosen = np.concatenate([np.flatnonzero(shown.labels[:5000] == c)[:20] for c in range(10)])
    chosen = np.random.default_rng(0).permutation(chosen)
    owner = build_recogniser("mnist")
    memory = owner.memory()
    owner.store(memory, on_off_pixels(shown.pixels[chosen]), shown.labels[chosen], threads=2)
    found = owner.recognise(memory, on_off_pixels(shown.pixels[-500:]), threads=2)
    assert (found.labels == shown.labels[-500:]).mean() > 0.82


@pytest.mark.slow
@pytest.mark.data
def test_recordings_of_digits_seen_once(data_root: Path) -> None:
    train = catalog.load("nmnist", "train", data_root / "NMNIST")
    view = on_off_windows(train)
    labels = np.asarray(train.labels)
    order = np.random.default_rng(0).permutation(len(train))
    owner = build_recogniser("nmnist")
    memory = owner.memory()
    owner.store(memory, view[order[:400]], labels[order[:400]], threads=2)
    found = owner.recognise(memory, view[order[400:500]], threads=2)
    assert (found.labels == labels[order[400:500]]).mean() > 0.75
