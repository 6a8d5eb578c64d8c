"""Every learner: it learns, a saved one goes on as if never stopped, another's state is refused; and what is particular
to each, against closed forms and plain references."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from helpers.samples import sampled

from neurosim import NeurosimError
from neurosim.base import NeurosimInputError
from neurosim.base.distribution import install
from neurosim.learning import Items, Learner, Problem, Stream, Task
from neurosim.learning.continual.learners import LEARNERS, dendrites, item_liquid, kind
from neurosim.learning.continual.learners.item_liquid import ItemLiquid
from neurosim.learning.continual.streams import Permuted, Split
from neurosim.learning.continual.tasks import CALIBRATED

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")
LIMITS = {"train_limit": 120, "validation_limit": 40, "test_limit": 60}
# The sample of the quick run: no defence, stored items, projected gradients, one trial, and the liquid of the engine.
QUICK = ["plain", "replay", "hlop", "macrocolumn"]
BY_ITEM = ["plain", "replay", "joint", "dendrites", "macrocolumn", "liquid", "projected", "slda", "random_features"]
# Small enough for seconds, large enough to learn.
SMALL: dict[str, dict[str, Any]] = {
    "nearest_mean": {},
    "slda": {},
    "random_features": {"features": 200},
    "random_filters": {"filters": 20, "side": 3, "pool": 2},
    "patches": {"filters": 30, "side": 3, "pool": 2},
    "plain": {"hidden": (60,), "epochs": 4, "steps": 4, "learning_rate": 5e-3},
    "joint": {"hidden": (60,), "epochs": 30, "steps": 4, "learning_rate": 1e-2},
    "replay": {"hidden": (60,), "epochs": 4, "steps": 4, "learning_rate": 5e-3, "memory": 60},
    "latent": {"hidden": (60, 40), "epochs": 4, "steps": 4, "learning_rate": 5e-3, "memory": 60},
    "derpp": {"hidden": (60,), "epochs": 4, "steps": 4, "learning_rate": 5e-3, "memory": 60},
    "lwf": {"hidden": (60,), "epochs": 4, "steps": 4, "learning_rate": 5e-3},
    "gpm": {"hidden": (60,), "epochs": 6, "steps": 4, "batch": 8, "learning_rate": 0.2, "samples": 60},
    "ewc": {"hidden": (60,), "epochs": 4, "steps": 4, "learning_rate": 5e-3, "samples": 20},
    "sema": {"hidden": (60,), "epochs": 4, "steps": 4, "learning_rate": 5e-3, "width": 16, "descriptor": 12},
    "si": {"hidden": (60,), "epochs": 4, "steps": 4, "learning_rate": 5e-3},
    "hypernetwork": {"hidden": (60,), "epochs": 6, "steps": 4, "learning_rate": 3e-3, "chunk": 1000, "width": 40},
    "hlop": {"hidden": (60,), "epochs": 6, "batch": 16, "steps": 4},
    "dendrites": {"units": 200, "density": 0.2, "epochs": 6, "batch": 12, "learning_rate": 5e-3},
    "macrocolumn": {"columns": 24, "field": 24, "units": 128},
    "liquid": {"neurons": 80, "windows": 2},
    "projected": {"neurons": 200, "windows": 2, "epochs": 3, "learning_rate": 0.25},
}


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Permuted(tasks=3, **LIMITS).build(1)


def made(name: str, problem: Problem, **other: Any) -> Learner:
    owner = kind(name)
    learner: Learner = owner(problem, owner.SETTINGS(**{**SMALL[name], **other}))
    return learner


def learned(learner: Learner, tasks: Sequence[Task]) -> Learner:
    for task in tasks:
        learner.begin(task)
        learner.learn(task)
    return learner


def accuracy(learner: Learner, items: Items, task: int | None = None) -> float:
    return float((learner.predict(items.x, task) == items.y).mean())


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return set(a) == set(b) and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", sampled(LEARNERS, QUICK))
def test_a_learner_learns_and_goes_on_from_its_state(name: str, stream: Stream) -> None:
    told: list[tuple[int, int]] = []
    first = made(name, stream.problem)
    first.begin(stream[0])
    first.learn(stream[0], lambda done, total: told.append((done, total)))
    assert first.learned == 1 and told[-1][0] == told[-1][1]
    assert accuracy(first, stream[0].test) > 0.6, "chance is a tenth"
    kept = {key: array.copy() for key, array in first.state().items()}
    learned(first, [stream[1]])
    second = made(name, stream.problem)
    second.restore(kept, [stream[0]])
    assert equal(second.state(), kept) and second.learned == 1
    learned(second, [stream[1]])
    # Bit for bit what the one that never stopped is.
    assert equal(first.state(), second.state())
    x = stream[2].test.x
    assert np.array_equal(first.scores(x, None), second.scores(x, None))


ON_CARDS = [name for name in SMALL if "cuda" in kind(name).DEVICES]


def test_which_learners_run_on_a_card(stream: Stream) -> None:
    assert not set(ON_CARDS) & {"liquid", "macrocolumn", "projected"} and {"plain", "hlop", "dendrites"} < set(ON_CARDS)
    with pytest.raises(NeurosimInputError, match=r"LiquidReadout: runs on cpu only \(got cuda\)"):
        made("liquid", stream.problem).to("cuda")


@pytest.mark.parametrize("name", ON_CARDS)
def test_a_step_is_computed_where_the_net_is(name: str, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in for a card has no values: a tensor that is left on the CPU, or copied to it, is an error there."""
    from neurosim.learning.continual.learners import common
    from neurosim.learning.continual.learners.one_context import OneContext

    monkeypatch.setattr(kind(name), "DEVICES", ("cpu", "meta"))
    learner: Any = made(name, stream.problem, epochs=1)
    learned(learner, [stream[0]])
    learner.begin(stream[1])
    context = learner._context(1) if name == "dendrites" else None
    learner.to("meta")
    generator = common.torch_generator(stream.problem, "train", 1)
    allowed = common.allowed_classes(stream.problem, 1)
    batch = next(common.batches(stream[1].train, allowed, learner.settings, generator, learner.device))
    if name == "hlop":
        (loss,) = learner.network.backward(learner._driven(batch.x), batch.y, batch.allowed)
        answer = learner.network(learner._driven(batch.x))
        parameters = list(learner.network.layers.parameters())
    elif name == "dendrites":
        net = OneContext(learner.net, torch.from_numpy(context).to("meta"))
        loss = common.loss_of(net(learner._standard(batch.x)), batch)
        loss.backward()
        answer = net(learner._standard(batch.x))
        parameters = net.trained()
    else:
        loss = learner.objective(batch, generator)
        optimizer = learner.optimizer()
        loss.backward()
        learner.step(optimizer)
        answer = learner.net(batch.x)
        parameters = list(learner.net.parameters())
    assert loss.is_meta and answer.is_meta and all(p.grad is not None and p.grad.is_meta for p in parameters)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_state_of_another_is_refused(name: str, stream: Stream) -> None:
    learner = made(name, stream.problem)
    before = learner.state()
    wider = made(name, Problem(1, 32, stream.problem.groups, "domain", 1))
    for arrays in ({}, {**before, "more": np.zeros(1)}, wider.state()):
        with pytest.raises(NeurosimInputError, match=rf"(?i){name}.*must be"):
            learner.restore(arrays, [])
    assert equal(learner.state(), before)


@pytest.mark.parametrize("name", sampled(LEARNERS, QUICK))
def test_answers_do_not_depend_on_the_batch(name: str, stream: Stream) -> None:
    learner = learned(made(name, stream.problem), [stream[0]])
    x = stream[0].test.x
    whole = learner.scores(x, None)
    parts = np.concatenate([learner.scores(x[:7], None), learner.scores(x[7:], None)])
    np.testing.assert_allclose(whole, parts, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sampled(["liquid", "projected"], ["liquid"]))
def test_a_liquid_plays_an_item_once_with_the_same_results(
    name: str, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items of later passes, and items scored again, are not played to the liquid again; results are the same bits."""
    encode = ItemLiquid.recordings
    encoded = []
    monkeypatch.setattr(ItemLiquid, "recordings", lambda *args: encoded.append(len(args[2])) or encode(*args))
    found = []
    for cache_bytes in (item_liquid.CACHE_BYTES, 0):
        monkeypatch.setattr(item_liquid, "CACHE_BYTES", cache_bytes)
        encoded.clear()
        learner = learned(made(name, stream.problem), [stream[0]])
        first = learner.scores(stream[0].test.x, None)
        np.testing.assert_array_equal(first, learner.scores(stream[0].test.x, None))
        learned(learner, [stream[1]])
        again = learner.scores(stream[0].test.x, None)
        found.append((sum(encoded), again, learner.state(), learner.updates))
    (once, *cached_results), (often, *played_results) = found
    assert once == CALIBRATED + len(stream[0].train) + len(stream[1].train) + len(first) < often
    assert equal(cached_results[1], played_results[1]) and cached_results[2] == played_results[2]
    np.testing.assert_array_equal(cached_results[0], played_results[0])


@pytest.mark.filterwarnings("ignore:sema. classes of different tasks")
@pytest.mark.parametrize("name", sampled(BY_ITEM, ["plain", "macrocolumn"]))
@pytest.mark.parametrize("scenario", ["class", "task"])
def test_answers_are_among_what_an_item_can_be(name: str, scenario: Any) -> None:
    stream = Split(scenario=scenario, **LIMITS).build(0)
    learner = learned(made(name, stream.problem), [stream[0], stream[1]])
    given = scenario == "task"
    assert set(learner.predict(stream[0].test.x, 0 if given else None)) <= ({0, 1} if given else {0, 1, 2, 3})
    # A task not yet learned.
    ahead = set(learner.predict(stream[3].test.x, 3 if given else None).tolist())
    assert ahead <= ({6, 7} if given else {0, 1, 2, 3})


@pytest.mark.parametrize("name", sampled(LEARNERS, QUICK))
def test_a_still_image_among_recordings(name: str) -> None:
    """Tasks of one step and of three, as in a mixed stream."""
    chance = np.random.default_rng(0)
    tasks = []
    for index, steps in enumerate((1, 3)):
        y = np.arange(60) % 2 + 2 * index
        x = (chance.random((60, steps, 8)) * 60).astype(np.uint8)
        x[np.arange(60), :, y] = 255
        items = Items(x, y)
        tasks.append(Task(f"{steps} steps", index, (2 * index, 2 * index + 1), items, items, items))
    stream = Stream.of(tasks, "task")
    if "hidden" in SMALL[name]:
        small = {"hidden": (20,), "epochs": 30}
    else:
        small = {}
    if name == "macrocolumn":
        small = {"field": 4}
    learner = learned(made(name, stream.problem, **small), tasks)
    assert accuracy(learner, tasks[1].test, 1) > 0.9


@pytest.mark.parametrize("name", sampled(["joint", "replay"], ["replay"]))
def test_plain_forgets_joint_and_replay_do_not(name: str, stream: Stream) -> None:
    plain, other = (learned(made(each, stream.problem), list(stream)) for each in ("plain", name))
    assert accuracy(plain, stream[0].test) + 0.15 < accuracy(other, stream[0].test)


@pytest.mark.parametrize("name", sampled(["macrocolumn", "liquid", "projected"], ["macrocolumn"]))
def test_macrocolumns_and_liquids_look_at_a_task_once_and_keep_it(name: str, stream: Stream) -> None:
    learner = learned(made(name, stream.problem), [stream[0]])
    then = accuracy(learner, stream[0].test)
    learned(learner, [stream[1], stream[2]])
    assert accuracy(learner, stream[0].test) > then - 0.12


def test_the_readout_of_the_liquid_is_ridge_regression_on_everything_seen(stream: Stream) -> None:
    from sklearn.linear_model import Ridge

    learner: Any = learned(made("liquid", stream.problem), list(stream))
    x = np.concatenate([task.train.x for task in stream])
    y = np.concatenate([task.train.y for task in stream])

    def features(x: np.ndarray) -> np.ndarray:
        return learner._features(item_liquid.liquid_spikes(learner._play(x)))

    z = (features(x) - learner.centre) / learner.scale
    z = z[:, :-1]
    goals = np.where(y[:, None] == np.arange(10), 1.0, -1.0)
    penalty = learner.settings.penalty * (z**2).sum() / len(z)
    reference = Ridge(alpha=penalty).fit(z, goals)
    shown = (features(stream[0].test.x) - learner.centre) / learner.scale
    expected = reference.predict(shown[:, :-1])
    np.testing.assert_allclose(learner.scores(stream[0].test.x, None), expected, atol=1e-5)


def test_fisher_information_is_that_of_every_item_by_itself() -> None:
    from neurosim.learning.continual.learners.penalties import fisher

    torch.manual_seed(0)
    net = torch.nn.Linear(4, 3)
    x = torch.rand(6, 4)
    may = torch.tensor([True, False, True])
    found = fisher(torch.nn.Sequential(torch.nn.Flatten(), net), x[:, None], may, torch.Generator().manual_seed(3))
    chance = torch.Generator().manual_seed(3)
    expected = torch.zeros(3, 4)
    for item in x:
        p = (net(item).masked_fill(~may, -torch.inf)).softmax(0).detach()
        label = int(torch.multinomial(p[None], 1, generator=chance))
        # d log p(label) / d W = (1[label] - p) x^T
        expected += ((torch.nn.functional.one_hot(torch.tensor(label), 3) - p)[:, None] * item).square() / len(x)
    torch.testing.assert_close(found["1.weight"], expected)


def test_the_ewc_penalty_is_the_sum_over_tasks_up_to_a_constant(stream: Stream) -> None:
    learner: Any = made("ewc", stream.problem)
    chance = np.random.default_rng(0)
    tasks = []
    for index in range(3):
        with torch.no_grad():
            for p in learner.net.parameters():
                p.copy_(torch.from_numpy(chance.normal(size=p.shape).astype(np.float32)))
        before = {name: f.clone() for name, f in learner.fisher.items()}
        learner.after_task(stream[index])
        new = {name: learner.fisher[name] - before[name] for name in before}
        tasks.append((new, {name: p.detach().clone() for name, p in learner.net.named_parameters()}))

    def held(at: float, f: Any, w: Any) -> float:
        return sum(float((f[n] * (at - w[n]).square()).sum(dtype=torch.float64)) for n in f)

    def both(at: float) -> tuple[float, float]:
        return sum(held(at, f, w) for f, w in tasks), held(at, learner.fisher, learner.mean)

    differences = [whole - kept for whole, kept in map(both, (-1.0, 0.0, 2.0))]
    assert differences == pytest.approx([differences[0]] * 3, rel=1e-3)


def test_synaptic_intelligence_credits_what_lowered_the_loss() -> None:
    """With plain descent on a quadratic, the shares of the weights add up to what the loss fell by."""
    from neurosim.learning.continual.learners.penalties import SynapticIntelligence

    problem = Problem(1, 4, ((0, 1),), "domain", 0)
    learner = SynapticIntelligence(problem, SynapticIntelligence.SETTINGS(hidden=(3,), strength=0.5))
    learner.learned = 1  # so that there is a penalty to take out again
    parameters = dict(learner.net.named_parameters())
    for name, importance in learner.importance.items():
        importance.fill_(0.3)
        learner.before[name] += 0.1
    goal = {name: torch.full_like(p, 0.7) for name, p in parameters.items()}
    optimizer = torch.optim.SGD(parameters.values(), lr=1e-3)

    def loss() -> Any:
        return torch.stack([(p - goal[name]).square().sum() for name, p in parameters.items()]).sum()

    start = float(loss().detach())
    for _ in range(300):
        optimizer.zero_grad()
        held = [(learner.importance[n] * (p - learner.before[n]).square()).sum() for n, p in parameters.items()]
        (loss() + learner.strength * torch.stack(held).sum()).backward()
        learner.step(optimizer)
    credited = sum(float(share.sum()) for share in learner.share.values())
    assert credited == pytest.approx(start - float(loss().detach()), rel=5e-3)


def test_replay_keeps_an_even_share_of_every_task(stream: Stream) -> None:
    learner: Any = made("replay", stream.problem, memory=31, epochs=1)
    for task in stream:
        learned(learner, [task])
        n = task.index + 1
        counts = np.bincount(learner.task[learner.task >= 0], minlength=n)
        assert counts.sum() == 31 and np.ptp(counts) <= 1
        for t in range(n):
            rows = learner.task == t
            # Kept items are items of their task, and even over its classes.
            known = {x.tobytes(): y for x, y in zip(stream[t].train.x, stream[t].train.y, strict=True)}
            assert all(known[x.tobytes()] == y for x, y in zip(learner.x[rows], learner.y[rows], strict=True))
            assert np.ptp(np.bincount(learner.y[rows], minlength=10)) <= 1


def test_single_trial_does_not_depend_on_how_a_class_came_late() -> None:
    """Two classes alike in all but one unit: the later one must not take the place of the earlier."""
    stream = Split(each=2, **{**LIMITS, "train_limit": 200}).build(0)
    learner = learned(made("macrocolumn", stream.problem, columns=48), list(stream))
    shares = [accuracy(learner, task.test) for task in stream]
    assert min(shares) > 0.5 and np.mean(shares) > 0.75, shares


def test_a_loss_that_is_no_number_says_the_step(stream: Stream) -> None:
    for name in ("plain", "dendrites"):
        learner: Any = made(name, stream.problem, learning_rate=3e37)
        learner.begin(stream[0])
        words = rf"{name}: the loss is (nan|inf) at step \d+ of \d+ of task 0 \(as they are\).*{name}.learning_rate"
        with pytest.raises(NeurosimError, match=words):
            learner.learn(stream[0])
        assert learner.learned == 0
    # In the last step, which no loss shows.
    alone: Any = made("plain", stream.problem, epochs=1, batch=1000)
    alone.step = lambda optimizer: alone.net.output.bias.data.fill_(math.nan)
    with pytest.raises(NeurosimError, match="plain: weights are not finite after step 1 of 1 of task 0"):
        alone.learn(stream[0])


# A setting that must be above 0, where a learner has no epochs.
FIELDS = {
    "macrocolumn": "columns",
    "liquid": "neurons",
    "projected": "neurons",
    "slda": "shrinkage",
    "random_features": "features",
    "random_filters": "filters",
    "patches": "filters",
}
RATES = {"macrocolumn": "smoothing", "slda": "shrinkage"}
RATES |= dict.fromkeys(("liquid", "random_features", "random_filters", "patches"), "penalty")


@pytest.mark.parametrize("name", LEARNERS)
def test_settings_that_break_their_rule(name: str) -> None:
    settings = kind(name).SETTINGS
    if name == "nearest_mean":
        assert not dataclasses.fields(settings)
        return
    field = FIELDS.get(name, "epochs")
    with pytest.raises(NeurosimInputError, match=rf"{settings.__name__}.{field}: must be >"):
        settings(**{field: 0})
    rate = RATES.get(name, "learning_rate")
    with pytest.raises(NeurosimInputError, match=rf"{settings.__name__}.{rate}: must be > 0"):
        settings(**{rate: math.nan})


def test_no_such_learner() -> None:
    with pytest.raises(NeurosimInputError, match=r"learner: unknown name 'replai'; did you mean 'replay'\?"):
        kind("replai")


def test_under_one_context_only_its_segments_are_trained() -> None:
    """The same weights after some steps as the whole network's, where the selected segments stay the strongest."""
    from neurosim.learning.continual.learners.one_context import OneContext
    from neurosim.memory import DendriteNetwork

    context = torch.rand(7, generator=torch.Generator().manual_seed(1))
    nets = []
    for alone in (False, True):
        net = DendriteNetwork(7, 3, 7, 4, units=20, density=0.2, seed=2)
        with torch.no_grad():
            for layer in (net.first, net.second):
                layer.segments[:, 1:] *= 0.01
                layer.segments[:, 0] = layer.segments[:, 0].sum(dim=1, keepdim=True).sign() * 0.5
        trained: Any = OneContext(net, context) if alone else net
        optimizer = torch.optim.Adam(trained.trained() if alone else net.parameters(), lr=1e-3)
        draws = torch.Generator().manual_seed(3)
        for _ in range(20):
            x = torch.randn(8, 7, generator=draws)
            y = torch.randint(3, (8,), generator=draws)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(trained(x) if alone else net(x, context), y).backward()
            optimizer.step()
            if alone:
                trained.rezero(optimizer)
            else:
                net.rezero()
        if alone:
            trained.store()
        nets.append(net.state_dict())
    for name, value in nets[0].items():
        torch.testing.assert_close(nets[1][name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_a_segment_that_is_overtaken_changes_over() -> None:
    from neurosim.learning.continual.learners.one_context import OneContext
    from neurosim.memory import DendriteNetwork

    context = torch.ones(5)
    net = DendriteNetwork(5, 2, 5, 3, units=6, density=0.5, seed=0)
    now = OneContext(net, context)
    optimizer = torch.optim.Adam(now.trained(), lr=1e-3)
    torch.nn.functional.cross_entropy(now(torch.rand(4, 5)), torch.tensor([0, 1, 0, 1])).backward()
    optimizer.step()
    place = now.place[0].clone()
    with torch.no_grad():
        now.chosen[0][2] = 1e-6  # much weaker than the others
    now.rezero(optimizer)
    assert now.place[0][2] != place[2] and torch.equal(now.place[0][[0, 1, 3, 4, 5]], place[[0, 1, 3, 4, 5]])
    assert torch.equal(now.chosen[0][2], net.first.segments[2, now.place[0][2]])
    assert float(net.first.segments.detach()[2, place[2]].abs().max()) == pytest.approx(1e-6)
    assert not optimizer.state[now.chosen[0]]["exp_avg"][2].any()
    # Whichever is selected, the network says the same.
    now.store()
    x = torch.rand(4, 5)
    torch.testing.assert_close(now(x), net.eval()(x, context))


def test_without_torch_a_learner_says_what_to_install() -> None:
    code = """
import sys
sys.modules["torch"] = None
from neurosim.learning.continual.learners import kind
from neurosim.base.errors import NeurosimMissingError
kind("macrocolumn"), kind("liquid"), kind("projected")
for name in ("plain", "dendrites", "hlop"):
    try:
        kind(name)
    except NeurosimMissingError as error:
        print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == 3 and all(install("train") in line for line in said), said


def test_dendrites_as_published_keep_zeros_in_the_output_and_their_rate(stream: Stream) -> None:
    published = {"falls": False, "context_density": 0.1, "sparse_output": True}
    rates = []

    class Adam(torch.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dendrites, "Adam", Adam)
        learner: Any = learned(made("dendrites", stream.problem, **published), [stream[0]])
    assert set(rates) == {5e-3}
    output = learner.net.output.weight
    assert int((output == 0).sum()) == int((~learner.net.output_mask).sum()) == output.numel() // 2
    fresh: Any = made("dendrites", stream.problem, **published)
    plain: Any = made("dendrites", stream.problem)
    wide, narrow = (net.first.segments.detach().numpy() for net in (fresh.net, plain.net))
    assert np.abs(wide).max() == pytest.approx((0.1 * 64) ** -0.5, rel=0.01)
    np.testing.assert_allclose(wide, narrow * 10**0.5, rtol=1e-5)
    assert fresh.net.absent() - plain.net.absent() == output.numel() // 2
    fresh.restore(learner.state(), [])
    assert equal(fresh.state(), learner.state())
    assert accuracy(learner, stream[0].test) > 0.6
