"""Streams of tasks: what each consists of, that a seed decides it, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from helpers.digits import write_few

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimInputError, NeurosimMissingError
from neurosim.learning import Items, Problem, Stream, StreamRecipe, Task
from neurosim.learning.continual.sources import Base, checked, drives, load
from neurosim.learning.continual.streams import STREAMS, Mixed, Permuted, Rotated, Split

SMALL = {"train_limit": 60, "validation_limit": 20, "test_limit": 30}


def same(a: Task, b: Task) -> bool:
    return all(
        np.array_equal(getattr(a, part).x, getattr(b, part).x)
        and np.array_equal(getattr(a, part).y, getattr(b, part).y)
        for part in ("train", "validation", "test")
    )


@pytest.mark.parametrize(
    "recipe", [Permuted(**SMALL), Rotated(**SMALL), Split(**SMALL)], ids=lambda r: type(r).__name__
)
def test_a_stream_is_decided_by_its_seed(recipe: StreamRecipe) -> None:
    stream = recipe.build(3)
    assert len(stream) == len(stream.names) == stream.problem.tasks == 5
    for index, task in enumerate(stream):
        assert (task.index, task.name) == (index, stream.names[index])
        assert same(task, recipe.build(3)[index]) and not same(task, recipe.build(4)[index])
        assert (len(task.train), len(task.validation), len(task.test)) == (60, 20, 30)
        assert task.classes == stream.problem.groups[index] == tuple(np.unique(task.train.y))
    with pytest.raises(IndexError):
        stream[5]


def test_training_validation_and_test_items_are_apart() -> None:
    task = Permuted(validation=0.2).build(0)[0]
    rows = {part: {x.tobytes() for x in getattr(task, part).x} for part in ("train", "validation", "test")}
    assert (len(task.train), len(task.validation), len(task.test)) == (1198, 299, 300)
    assert not rows["train"] & rows["validation"] and not rows["train"] & rows["test"]
    # Drawn evenly over the classes.
    assert np.ptp(np.bincount(task.validation.y)) <= 1


def test_a_permutation_moves_units_and_nothing_else() -> None:
    first, second, third = Permuted(tasks=3, **SMALL).build(0)
    assert np.array_equal(first.train.y, second.train.y)
    for task in (second, third):
        assert np.array_equal(np.sort(first.train.x, axis=2), np.sort(task.train.x, axis=2))
        assert not np.array_equal(first.train.x, task.train.x)
    # One order for all parts of a task: units that vary are found by how they behave.
    varying = np.flatnonzero(np.ptp(second.train.x[:, 0], axis=0))
    order = [int(np.flatnonzero((first.train.x[:, 0] == second.train.x[:, 0, [u]]).all(axis=0))[0]) for u in varying]
    assert np.array_equal(first.test.x[:, 0][:, order], second.test.x[:, 0][:, varying])


def test_permuted_items_may_come_with_their_task() -> None:
    alone = Permuted(tasks=2, **SMALL).build(0)
    known = Permuted(tasks=2, scenario="task", **SMALL).build(0)
    assert (alone.problem.scenario, known.problem.scenario) == ("domain", "task")
    assert all(same(one, other) for one, other in zip(alone, known, strict=True))
    with pytest.raises(NeurosimInputError, match=r"stream\.blur: must be 0 in the scenario 'task'"):
        Permuted(scenario="task", blur=0.1)


def test_an_angle_turns_images() -> None:
    still, quarter = Rotated(angles=(0.0, 90.0), **SMALL).build(0)
    turned = np.rot90(still.test.x.reshape(-1, 8, 8), axes=(1, 2))
    assert np.abs(turned.astype(int) - quarter.test.x.reshape(-1, 8, 8)).max() <= 1


def test_a_split_gives_each_task_its_classes() -> None:
    stream = Split(scenario="task", groups=((7, 1), (3, 2, 9)), **SMALL).build(0)
    assert stream.problem.groups == ((1, 7), (2, 3, 9)) and stream.names == ("1, 7", "2, 3, 9")
    assert [sorted(set(task.test.y.tolist())) for task in stream] == [[1, 7], [2, 3, 9]]


def test_what_an_item_can_be_of() -> None:
    problem = Problem(1, 4, ((0, 1), (2, 3), (4,)), "class")
    assert problem.classes == 5 and problem.tasks == 3
    assert problem.allowed(None, 0).all()
    assert problem.allowed(None, 1).tolist() == [True, True, False, False, False]
    assert problem.allowed(None, 2).tolist() == [True, True, True, True, False]
    assert problem.allowed(1, 1).tolist() == [False, False, True, True, False]


def test_mixed_datasets_share_units_and_have_classes_of_their_own(made_digits: None) -> None:
    images, events = Mixed(windows=4, **SMALL).build(0)
    assert images.train.x.shape == (60, 1, 578) and events.train.x.shape == (60, 4, 578)
    assert np.array_equal(images.train.x[:, :, 64:128], images.train.x[:, :, :64]) and images.train.x.any()
    assert images.classes == tuple(range(10)) and events.classes == tuple(range(10, 20))
    assert Mixed(windows=4).build(0).problem.groups == (images.classes, events.classes)


def test_events_drive_units_by_the_root_of_their_number() -> None:
    # The second window has 25 events, more than a drive can show.
    units = [5, 10, 5, *[0] * 25]
    spikes = Spikes(np.array([0.0, 0.1, 0.2, *[0.9] * 25]), np.array(units), 110, 1.0, (22, 5))
    found = drives(Recordings.collect([spikes]), 2)
    assert found.shape == (1, 2, 33) and found.dtype == np.uint8
    # Unit (y // 2, x // 2): 5 is (1, 0), in (0, 0); 10 is (2, 0), in (1, 0).
    assert found[0, 0].tolist() == [90, 0, 0, 64, *[0] * 29]
    assert found[0, 1].tolist() == [255, *[0] * 32]


@pytest.mark.parametrize(
    ("shape", "joined"),
    [
        ((700,), (140,)),
        ((141,), (71,)),
        ((140,), (140,)),
        ((12,), (12,)),
        ((2, 34, 34), (2, 17, 17)),
        ((8, 8), (8, 8)),
        ((2, 20, 16), (2, 20, 16)),
        ((2, 128, 128), (2, 32, 32)),
        ((2, 480, 640), (2, 30, 40)),
        ((2, 720, 1280), (2, 23, 40)),
    ],
)
def test_sensors_of_any_size_become_some_hundred_units(shape: tuple[int, ...], joined: tuple[int, ...]) -> None:
    """Keep all events: the last unit of a sensor is in the last unit of the joined one."""
    size = math.prod(shape)
    spikes = Spikes(np.array([0.1, 0.2]), np.array([0, size - 1]), size, 1.0, shape)
    found = drives(Recordings.collect([spikes]), 1)[0, 0]
    assert len(found) == math.prod(joined)
    assert np.flatnonzero(found).tolist() == [0, math.prod(joined) - 1]


@pytest.fixture
def made_digits(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few digits before the emulated camera, in a folder of the tests' own."""
    write_few(tmp_path_factory.mktemp("few"), monkeypatch)


def task(index: int = 0, classes: tuple[int, ...] = (0, 1), units: int = 3, **parts: Items) -> Task:
    y = np.array(classes, np.int64)
    items = Items(np.zeros((len(y), 1, units), np.uint8), y)
    return Task(f"t{index}", index, classes, **{"train": items, "validation": items, "test": items, **parts})


def test_tasks_of_your_own() -> None:
    stream = Stream.of([task(1, (2, 3)), task(0)], "class", seed=5)
    assert [t.name for t in stream] == ["t0", "t1"] and stream.problem == Problem(1, 3, ((0, 1), (2, 3)), "class", 5)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([], "Stream: needs at least one task"),
        ([task(0), task(1), task(1)], r"must have each task once; these occur more often \(got \[1\]\)"),
        ([task(0), task(2)], r"must have tasks 0 to 1; these are missing \(got \[1\]\)"),
        ([task(0), task(1, units=4)], r"task 1 \(t1\): train: must have the units of the first task \(got 4\)"),
        ([task(0, test=task(0, (0, 2)).train)], r"test: must be of its classes \(0, 1\) \(got \[2\]\)"),
        ([task(0, train=task(0, (0,)).train)], r"test: must be of classes that it trains on \(got \[1\]\)"),
        ([task(0, test=Items(np.zeros((0, 1, 3), np.uint8), np.zeros(0, np.int64)))], "test: must have items"),
    ],
)
def test_tasks_that_are_no_stream(tasks: list[Task], words: str) -> None:
    with pytest.raises(NeurosimInputError, match=words):
        Stream.of(tasks)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Rotated(angles=(0, 30, 390)), r"stream.angles: must differ.*got \[30, 390\]"),
        (lambda: Mixed(sources=("digits", "digits")), "stream.sources: must each occur once"),
        (lambda: Split(groups=((0, 1), (1, 2))), r"stream.groups: must have each class once.*got \[1\]"),
        (lambda: Split(groups=((0, 1), ())), r"stream.groups: must each hold a class.*got \[1\]"),
        (lambda: Split(scenario="task", groups=((0, 1), (2,))), "must give each task two classes at least"),
        (lambda: Split(scenario="task", each=1), "stream.each: must give each task two classes"),
        (lambda: Split(groups=((0, 10),)).build(0), r"stream.groups: must be classes of digits.*got \[10\]"),
        (lambda: Split(scenario="task", each=3).build(0), "stream.each: must divide the 10 classes"),
        (lambda: Permuted(source="digit").build(0), "stream.source .*: unknown name 'digit'; did you mean 'digits'"),
        (lambda: Rotated(source="digits-events").build(0), "must be of still images"),
        (lambda: Permuted(validation=0.0), "stream.validation: must be > 0 and < 1"),
        (lambda: Permuted(train_limit=0), "stream.train_limit: must be >= 1 items"),
        (lambda: Permuted(tasks=0), "stream.tasks: must be >= 1"),
    ],
)
def test_recipes_that_make_no_stream(make, words: str, made_digits: None) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NeurosimInputError, match=words):
        make()


def test_datasets_that_teach_nothing() -> None:
    def base(train: list[int], test: list[int]) -> Base:
        parts = [Items(np.zeros((len(y), 1, 3), np.uint8), np.array(y, np.int64)) for y in (train, test)]
        return Base("own", *parts, ("a", "b", "c"))

    with pytest.raises(NeurosimInputError, match=r"dataset own: must have training items of at least two classes"):
        checked(base([1, 1], [1]))
    with pytest.raises(NeurosimInputError, match=r"must test on classes that it trains on.*got \['c'\]"):
        checked(base([0, 1], [0, 2]))
    with pytest.raises(NeurosimInputError, match="must have test items"):
        checked(base([0, 1], []))


def test_files_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NEUROSIM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(NeurosimMissingError, match=r"source fsdd: its files are not there; put shd_train.*FSDD-SHD"):
        load("fsdd")


@pytest.mark.slow
@pytest.mark.data
def test_real_sources(data_root: Path) -> None:
    expected = {
        "mnist": (60_000, 10_000, 1, 784),
        "fashion": (60_000, 10_000, 1, 784),
        "nmnist": (800, 100, 10, 578),
        "fsdd": (2700, 300, 10, 140),
    }
    for name, (train, test, steps, units) in expected.items():
        base = load(name)
        assert (len(base.train), len(base.test), base.steps, base.units) == (train, test, steps, units)
        assert len(base.classes) == 10 and base.train.x.max() == 255
        assert math.prod(base.shape) == units
    stream = Mixed(sources=tuple(expected), train_limit=20).build(0)
    assert stream.problem.units == 784 and stream.problem.classes == 40 and stream.problem.steps == 10


def test_every_stream_is_listed() -> None:
    assert set(STREAMS) == {"permuted", "rotated", "split", "mixed"}


def test_a_blurred_stream_has_items_of_the_task_before() -> None:
    plain = Split(**SMALL).build(2)
    blurred = Split(blur=0.25, **SMALL).build(2)
    assert same(plain[0], blurred[0]) and blurred.problem == plain.problem
    for index in (1, 2, 3, 4):
        before = plain[index - 1]
        task = blurred[index]
        old = np.isin(task.train.y, before.classes)
        assert len(task.train) == 60 and old.sum() == 15
        assert set(task.classes) == {*before.classes, *plain[index].classes}
        known = {x.tobytes() for x in before.train.x}
        assert all(x.tobytes() in known for x in task.train.x[old])
        assert np.array_equal(task.train.x[~old], plain[index].train.x[~old])
        assert np.array_equal(task.test.x, plain[index].test.x)
        assert np.array_equal(task.validation.y, plain[index].validation.y)
        assert same(task, Split(blur=0.25, **SMALL).build(2)[index])
    with pytest.raises(NeurosimInputError, match=r"stream\.blur: must be 0 in the scenario 'task', .* \(got 0\.1\)"):
        Mixed(blur=0.1)
    with pytest.raises(NeurosimInputError, match=r"stream\.blur: must be >= 0 and < 1 \(got 1\.0\)"):
        Permuted(blur=1.0)


@pytest.mark.slow
def test_images_and_recordings_are_blurred() -> None:
    mixed = Mixed(scenario="class", blur=0.5, windows=4, **SMALL).build(0)
    assert mixed[1].train.x.shape[1] == 4 and set(mixed[1].classes) == set(range(20))
