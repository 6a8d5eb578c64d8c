"""Joint training: the trainer of `neurosim train`, on items in the place of recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosim import NeurosimError
from neurosim.base import NeurosimInputError
from neurosim.learning import Items, Stream, Task
from neurosim.learning.continual.streams import Split

torch = pytest.importorskip("torch")
from neurosim.learning.continual.learners.joint import ItemBatches, Joint, JointSettings, TrainableItemNet, TrainerItems
from neurosim.learning.continual.learners.spiking import Net
from neurosim.learning.layers.start import START_RATE

SETTINGS = JointSettings(hidden=(30,), steps=4, epochs=6, batch=20)


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Split(train_limit=60, validation_limit=20, test_limit=40).build(3)


def learned(stream: Stream, tasks: list[Task], settings: JointSettings = SETTINGS) -> Joint:
    learner = Joint(stream.problem, settings)
    for task in tasks:
        learner.begin(task)
        learner.learn(task)
    return learner


def test_a_net_is_trained_anew_on_all_items_so_far(stream: Stream) -> None:
    """The net after two tasks is that of a learner that meets both with the second, and was not trained before."""
    one_by_one = learned(stream, [stream[0], stream[1]])
    at_once = Joint(stream.problem, SETTINGS)
    at_once.restore({**at_once.state(), "learned": np.array(1)}, [stream[0]])
    at_once.learn(stream[1])
    found = at_once.state()
    assert all(np.array_equal(array, found[name]) for name, array in one_by_one.state().items())
    alone = learned(stream, [stream[1]]).state()
    assert any(not np.array_equal(array, alone[name]) for name, array in found.items() if name != "learned")


def test_the_best_epoch_is_chosen_by_the_validation_items(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    from neurosim.learning.continual.learners import joint

    trainers: list[Any] = []

    class Kept(joint.Trainer):  # type: ignore[misc,name-defined]
        def run(self, *arguments: Any) -> Any:
            trainers.append(self)
            return super().run(*arguments)

    monkeypatch.setattr(joint, "Trainer", Kept)
    learner = learned(stream, [stream[0], stream[1]])
    trainer = trainers[-1]
    assert len(trainer.validation) == len(stream[0].validation) + len(stream[1].validation)
    best = trainer.state.history[trainer.state.best - 1]
    assert best.validation_accuracy == max(record.validation_accuracy for record in trainer.state.history)
    held = np.concatenate([task.validation.x for task in (stream[0], stream[1])])
    right = learner.scores(held, None).argmax(axis=1) == trainer.validation.labels
    assert right.mean() == pytest.approx(best.validation_accuracy)


def test_patience_ends_a_training(stream: Stream) -> None:
    # Labels by chance: no epoch is better for long.
    draws = np.random.default_rng(0)
    x = draws.integers(0, 255, (40, 1, 64)).astype(np.uint8)
    items = Items(x, draws.integers(0, 2, 40))
    task = Task("by chance", 0, (0, 1), items, Items(x[:3], 1 - items.y[:3]), items)
    settings = JointSettings(hidden=(30,), steps=4, epochs=60, batch=20, patience=3)
    learner = learned(stream, [task], settings)
    steps = learner.updates / sum(p.numel() for p in learner.net.parameters())
    assert steps < 2 * 60


def test_first_weights_are_scaled_to_a_rate_of_spikes(stream: Stream) -> None:
    net = TrainableItemNet(Net(stream.problem, JointSettings(hidden=(200, 100))), stream.problem)
    batch = ItemBatches(64).batch(TrainerItems.of([stream[0].train]), np.arange(60))
    x = torch.from_numpy(batch.x)
    net.calibrate(x)
    for last in (1, 2):
        assert float(net.net.through(x, 0, last).detach().mean()) == pytest.approx(START_RATE, rel=0.2)


def test_items_become_tensors(stream: Stream) -> None:
    moving = Items(np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4), np.array([5, 6]))
    still = Items(np.full((1, 1, 4), 255, np.uint8), np.array([7]))
    both = TrainerItems.of([moving, still])
    assert len(both) == 3 and both.durations.tolist() == pytest.approx([0.03] * 3)
    batch = ItemBatches(4).batch(both, np.array([2, 0]))
    assert batch.x.shape == (3, 2, 4) and (batch.x[:, 0] == 1).all()
    np.testing.assert_allclose(batch.x[:, 1], moving.x[0] / 255)
    assert batch.labels.tolist() == [7, 5] and batch.lengths.tolist() == [3, 3]


def test_a_training_that_diverges_says_where(stream: Stream) -> None:
    learner = Joint(stream.problem, JointSettings(hidden=(30,), steps=4, epochs=2, learning_rate=3e37))
    words = r"joint: task 0 \(0, 1\), with those before: training: .*Lower learners.joint.learning_rate"
    with pytest.raises(NeurosimError, match=words):
        learner.learn(stream[0])
    assert learner.learned == 0 and learner.tasks == []


def test_patience_is_checked() -> None:
    with pytest.raises(NeurosimInputError, match=r"JointSettings\.patience: must be >= 0"):
        JointSettings(patience=-1)
