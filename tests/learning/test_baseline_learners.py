"""DER++, LwF and GPM: what each keeps of earlier tasks, against plain references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosim.learning import Items, Problem, Stream
from neurosim.learning.continual.learners import kind
from neurosim.learning.continual.streams import Permuted, Split

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")
LIMITS = {"train_limit": 120, "validation_limit": 40, "test_limit": 60}
NET = {"hidden": (40,), "steps": 3}


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Permuted(tasks=2, **LIMITS).build(1)


def made(name: str, problem: Problem, **settings: Any) -> Any:
    owner = kind(name)
    return owner(problem, owner.SETTINGS(**{**NET, **settings}))


def batch_of(learner: Any, x: Any, y: Any) -> Any:
    from neurosim.learning.continual.learners import common

    allowed = torch.ones(learner.problem.classes, dtype=torch.bool)
    return common.ItemBatch.of(Items(x, y), allowed, torch.device("cpu"))


def test_a_reservoir_keeps_every_item_with_the_same_probability() -> None:
    problem = Problem(1, 2, ((0, 1),), "domain", 0)
    counts = np.zeros(40)
    for seed in range(150):
        learner = made("derpp", problem, memory=8)
        generator = torch.Generator().manual_seed(seed)
        for part in np.arange(40).reshape(4, 10):
            x = np.stack([part, part], axis=1).astype(np.uint8)[:, None]
            scores = torch.from_numpy(np.stack([part, -part], axis=1)).float()
            learner.store(batch_of(learner, x, part % 2), scores, generator)
        kept = learner.x[:, 0, 0].astype(int)
        assert len(set(kept)) == 8 and np.array_equal(learner.y, kept % 2)
        assert np.array_equal(learner.stored_scores[:, 0].numpy(), kept)
        counts[kept] += 1
    # 150 draws of 8 of 40: mean 30, deviation about 4.9.
    assert counts.sum() == 1200 and abs(counts - 30).max() < 22


def test_the_loss_of_derpp_has_its_three_terms(stream: Stream) -> None:
    task = stream[0]
    batch = batch_of(made("derpp", stream.problem), task.train.x[:10], task.train.y[:10])

    def terms(alpha: float, beta: float) -> float:
        learner = made("derpp", stream.problem, memory=20, alpha=alpha, beta=beta)
        generator = torch.Generator().manual_seed(0)
        learner.store(batch, torch.zeros(10, stream.problem.classes), generator)
        return float(learner.objective(batch, generator).detach())

    learner = made("derpp", stream.problem)
    alone = float(learner.loss(batch).detach())
    assert terms(0.0, 0.0) == pytest.approx(alone, abs=1e-6)
    # The stored scores are 0, so that the distance is the mean square of the scores of the items drawn.
    generator = torch.Generator().manual_seed(0)
    torch.rand(10, generator=generator, dtype=torch.float64)
    drawn = torch.randint(10, (10,), generator=generator).numpy()
    squares = float(learner.net(batch.x[drawn]).detach().square().mean())
    assert terms(2.0, 0.0) == pytest.approx(alone + 2 * squares, rel=1e-5)
    assert terms(0.0, 1.0) > alone


@pytest.mark.parametrize("scenario", ["class", "task"])
def test_distillation_is_the_divergence_from_the_earlier_answers(scenario: Any) -> None:
    stream = Split(scenario=scenario, **LIMITS).build(0)
    learner = made("lwf", stream.problem, temperature=3.0)
    learner.learned = 2
    chance = np.random.default_rng(0)
    now, before = (torch.from_numpy(chance.normal(size=(5, 10))).float() for _ in range(2))
    expected = 0.0
    for classes in ([0, 1], [2, 3]) if scenario == "task" else ([0, 1, 2, 3],):
        p, q = (np.exp(s[:, classes].numpy() / 3) for s in (before, now))
        p = p / p.sum(axis=1, keepdims=True)
        q = q / q.sum(axis=1, keepdims=True)
        expected += 9 * float((p * np.log(p / q)).sum(axis=1).mean())
    assert float(learner.distillation(now, before)) == pytest.approx(expected, rel=1e-5)
    assert float(learner.distillation(now, now)) == pytest.approx(0, abs=1e-6)


def test_the_teacher_is_the_net_after_the_last_task(stream: Stream) -> None:
    learner = made("lwf", stream.problem, epochs=1)
    learner.begin(stream[0])
    learner.learn(stream[0])
    x = torch.from_numpy(stream[0].test.x).float()
    kept = torch.func.functional_call(learner.net, learner.teacher, (x,))
    assert torch.equal(kept, learner.net(x)) and learner.teacher["output.bias"] is not learner.net.output.bias


def test_directions_are_the_fewest_that_hold_the_part() -> None:
    from neurosim.learning.continual.learners.gradient_projection import new_directions

    chance = np.random.default_rng(0)
    inputs = chance.normal(size=(50, 12)) * np.arange(1, 13)
    known = np.linalg.qr(chance.normal(size=(12, 2)))[0]
    rest = inputs - inputs @ known @ known.T
    lengths = np.linalg.svd(rest, compute_uv=False) ** 2
    total = (inputs**2).sum()
    for part in (0.3, 0.8, 0.99, 1.0):
        gram = torch.from_numpy(inputs.T @ inputs)
        given = torch.from_numpy(known)
        found = new_directions(gram, given, part).numpy()
        both = np.concatenate([known, found], axis=1)
        np.testing.assert_allclose(both.T @ both, np.eye(both.shape[1]), atol=1e-9)
        held = (total - lengths.sum() + np.concatenate([[0], lengths.cumsum()])) / total
        expected = int(np.argmax(held >= part)) if part < 1 else 10
        assert found.shape[1] == expected
        assert ((inputs @ both) ** 2).sum() >= (part - 1e-9) * total


def test_with_all_directions_kept_stored_items_are_answered_as_before(stream: Stream) -> None:
    learner = made("gpm", stream.problem, threshold=1.0, samples=20, epochs=3)
    learner.begin(stream[0])
    learner.learn(stream[0])
    from neurosim.learning.continual.learners import common

    generator = common.torch_generator(stream.problem, "directions", 0)
    rows = torch.randperm(len(stream[0].train), generator=generator)[:20].numpy()
    x = stream[0].train.x[rows]
    other = stream[1].test.x
    then = learner.scores(x, None)
    new = learner.scores(other, None)
    learner.begin(stream[1])
    learner.learn(stream[1])
    np.testing.assert_allclose(learner.scores(x, None), then, atol=2e-4)
    assert np.abs(learner.scores(other, None) - new).max() > 0.1
