"""The learner of Hebbian orthogonal projection in a stream of tasks."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from neurosim import NeurosimError
from neurosim.base import NeurosimInputError
from neurosim.learning import Items, Problem, Task
from neurosim.learning.continual.learners.hlop import Hlop, HlopSettings

UNITS = 60
CLASSES = 4
RANK = 4
SMALL = {"hidden": (80,), "batch": 16, "epochs": 2, "learning_rate": 0.2, "first": (0.25, 0.4), "more": (0.15,)}


def made(count: int, steps: int, task: int, seed: int) -> Items:
    """Mixtures of the task's own four patterns, which share units with those of other tasks; the largest is the class,
    under numbers that turn from task to task."""
    patterns = np.random.default_rng((5, task)).random((RANK, steps, UNITS)) < 0.3
    y = np.arange(count, dtype=np.int64) % CLASSES
    z = 0.5 * np.random.default_rng((seed, task)).random((count, RANK))
    z[np.arange(count), y] += 0.8
    x = np.clip(150 * np.einsum("nr,rtu->ntu", z, patterns.astype(float)), 0, 255)
    return Items(x.astype(np.uint8), (y + task) % CLASSES)


def tasks(steps: int, number: int = 3) -> list[Task]:
    classes = tuple(range(CLASSES))
    counts = (480, 20, 200)
    return [
        Task(f"mixtures {k}", k, classes, *(made(n, steps, k, seed) for seed, n in enumerate(counts)))
        for k in range(number)
    ]


def problem(steps: int, number: int = 3) -> Problem:
    return Problem(steps, UNITS, (tuple(range(CLASSES)),) * number, seed=3)


def taught(learner: Hlop, stream: list[Task]) -> Hlop:
    for task in stream:
        learner.begin(task)
        learner.learn(task)
    return learner


def accuracies(learner: Hlop, stream: list[Task]) -> list[float]:
    return [float((learner.predict(task.test.x, task.index) == task.test.y).mean()) for task in stream]


def forgotten(steps: int, **settings: object) -> float:
    """The most that any task lost of its accuracy."""
    stream = tasks(steps)
    learner = Hlop(problem(steps), HlopSettings(**SMALL | settings))
    own = [accuracies(taught(learner, [task]), [task])[0] for task in stream]
    assert learner.learned == 3 and own[-1] > 0.75
    return float(np.max(np.subtract(own, accuracies(learner, stream))))


@pytest.mark.slow
@pytest.mark.parametrize("training", ["bptt", "online", "rate"])
def test_earlier_tasks_are_kept(training: str) -> None:
    assert forgotten(4, training=training, first=(0.0,), more=(0.0,)) > 0.15
    assert forgotten(4, training=training) < 0.05
    assert forgotten(4, training=training, spiking=True) < 0.1
    assert forgotten(1, training=training) < 0.02


def test_a_restored_learner_goes_on_alike() -> None:
    stream = tasks(1)
    whole = taught(Hlop(problem(1), HlopSettings(**SMALL)), stream)
    half = taught(Hlop(problem(1), HlopSettings(**SMALL)), stream[:2])
    again = Hlop(problem(1), HlopSettings(**SMALL))
    again.restore(half.state(), stream[:2])
    taught(again, stream[2:])
    one = whole.state()
    two = again.state()
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_state_of_another_learner_is_refused_and_changes_nothing() -> None:
    learner = taught(Hlop(problem(1), HlopSettings(**SMALL)), tasks(1)[:1])
    before = learner.state()
    with pytest.raises(NeurosimInputError, match=r"must be given the state of another hlop \(missing \['learned'"):
        learner.restore({"weights": np.zeros(3)}, [])
    smaller = Hlop(problem(1), HlopSettings(**SMALL | {"hidden": (70,)}))
    with pytest.raises(NeurosimInputError, match=r"HLOPNetwork.restore.weight.0: must be \(80, 60\)"):
        learner.restore(smaller.state(), [])
    after = learner.state()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_lateral_neurons_are_as_published_and_never_more_than_directions() -> None:
    settings = HlopSettings()
    widths = (784, 800, 800)
    assert settings.rows(0, widths, widths) == [78, 200, 100]
    assert [settings.rows(k, widths, widths)[1] for k in range(1, 12)] == [70, 70, 50, 50, 50, 30, 30, 30, 10, 10, 10]
    assert settings.rows(1, widths, (5, 60, 800)) == [5, 60, 70]
    # Once all directions are used nothing more is learned, and nothing fails.
    stream = tasks(1)
    learner = taught(Hlop(problem(1), HlopSettings(**SMALL | {"first": (1.0,)})), stream[:1])
    before = learner.state()
    taught(learner, stream[1:2])
    after = learner.state()
    for i in range(2):
        assert np.abs(after[f"weight.{i}"] - before[f"weight.{i}"]).max() < 1e-3


def test_a_loss_that_is_no_number_stops() -> None:
    learner = Hlop(problem(1), HlopSettings(**SMALL | {"learning_rate": 9e37}))
    with pytest.raises(NeurosimError, match=r"hlop: the loss is (nan|inf) at step \d+ of 60 of task 0 \(mixtures 0\)"):
        taught(learner, tasks(1))
    assert learner.learned == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"training": "btt"}, "HlopSettings.training: unknown name 'btt'; did you mean 'bptt'? choose from"),
        ({"first": (1.5,)}, "HlopSettings.first: must be one part at least, each >= 0 and <= 1 (got (1.5,))"),
        ({"more": ()}, "HlopSettings.more: must be one part at least"),
        ({"hidden": (0,)}, "HlopSettings.hidden: must be >= 1, each (got (0,))"),
        ({"steps": -1}, "HlopSettings.steps: must be >= 0 (got -1)"),
        ({"learning_rate": 0.0}, "HlopSettings.learning_rate: must be > 0 and < 1e38 (got 0.0)"),
    ],
)
def test_settings_are_checked(wrong: dict, words: str) -> None:
    with pytest.raises(NeurosimInputError) as caught:
        HlopSettings(**wrong)
    assert str(caught.value).startswith(words)
