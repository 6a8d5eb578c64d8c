"""Readouts that learn in a network: rules by a plain loop, tasks, freezing, saving, and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.readouts import WINDOW, PlainReadout, clips, of_counts, reading, teachers
from numpy.typing import NDArray

from neurosim import Link, Network, Population, Recordings, Simulation, SpikeSource, Windowed, simulate
from neurosim.base import NeurosimInputError
from neurosim.engine import read_description, write_description
from neurosim.engine.grid.reference import simulate_dense
from neurosim.engine.identity import describe
from neurosim.learning import LateralCircuit, OnlineReadout, label_recordings
from neurosim.network.windowed import Arrivals

INPUTS = 14
CLASSES = 3
WINDOWS = 4
COUNT = 40
LENGTH = WINDOWS * WINDOW
MODELS = {
    "delta": OnlineReadout(INPUTS, CLASSES, windows=3),
    "softmax": OnlineReadout(INPUTS, CLASSES, features="traces", decay=0.5, error="softmax", learning_rate=0.02,
                             normalised=False),
    "reward": OnlineReadout(INPUTS, CLASSES, rule="reward", exploration=0.3, seed=4),
    "reward softmax": OnlineReadout(INPUTS, CLASSES, windows=2, rule="reward", error="softmax", exploration=0.0),
    "deflation": OnlineReadout(INPUTS, CLASSES, windows=2, lateral=LateralCircuit((3, 2, 4))),
    "deflation, spiking": OnlineReadout(INPUTS, CLASSES, lateral=LateralCircuit((3, 2), spiking=True, scale=9.0)),
    "hebbian": OnlineReadout(INPUTS, CLASSES, windows=2, features="counts", gain=0.2, normalised=False,
                             learning_rate=0.1, lateral=LateralCircuit((3, 2, 4), "hebbian", 0.05)),
    "hebbian, spiking": OnlineReadout(INPUTS, CLASSES, gain=0.5,
                                      lateral=LateralCircuit((2, 2), "hebbian", 0.02, spiking=True, scale=5.0)),
    "reward, projected": OnlineReadout(INPUTS, CLASSES, rule="reward", lateral=LateralCircuit((4, 4))),
}  # fmt: skip
MODELS |= {
    "input rates": OnlineReadout(INPUTS, CLASSES, windows=2, error="softmax", learning_rate=8.0, input_rates=True),
    "input rates, reward": OnlineReadout(INPUTS, CLASSES, rule="reward", features="traces", decay=0.5, exploration=0.0,
                                         learning_rate=0.3, normalised=False, input_rates=True),
    "least squares": OnlineReadout(INPUTS, CLASSES, windows=2, penalty=0.5),
}  # fmt: skip
LABELS = np.random.default_rng(8).integers(0, CLASSES, COUNT)


def taught(model: OnlineReadout, batch: Recordings, time: float = 0.025, tasks: object = None) -> dict:
    """The recordings with a label, or a reward for class 1 or at random, in the window of `time`."""
    labels = LABELS[: len(batch)]
    chosen = labels if model.rule == "delta" else labels % 2
    none = np.full(len(batch), -1)
    return {"input": batch, **teachers(model, chosen, none if tasks is None else tasks, LENGTH, time)}


def starts(model: OnlineReadout) -> NDArray:
    """The announcements of as many tasks as the lateral circuit has rows for, the first included."""
    tasks = len(model.lateral.rows) if model.lateral else 1
    return np.where(np.arange(COUNT) % -(-COUNT // tasks) == 0, 0, -1)


def fresh_rows(model: OnlineReadout, learned: dict, task: int) -> NDArray:
    ends = np.cumsum([0, *model.lateral.rows])  # type: ignore[union-attr]
    return learned["lateral.rows"][ends[task] : ends[task + 1]]


@pytest.mark.parametrize("name", MODELS)
def test_learning_is_that_of_a_plain_loop(name: str) -> None:
    """Scores and spikes of every window, and the weights after several tasks."""
    model = MODELS[name]
    batch = clips(COUNT, INPUTS, WINDOWS)
    announced = starts(model)
    spikes = taught(model, batch, tasks=announced)
    result = simulate(reading(model), spikes)
    state = model.start().arrays()
    plain = PlainReadout(model, state.get("lateral.rows", np.zeros((0, model.inputs * model.windows))))
    for i, recording in enumerate(batch):
        plain.begin()
        units = result.spikes["readout"][i]
        for k in range(WINDOWS):
            counts = np.bincount(recording.window(k * WINDOW, (k + 1) * WINDOW).units, minlength=INPUTS)
            if k == 2 and announced[i] == 0 and i and model.lateral:
                before = {n: each.select(np.arange(i)) for n, each in spikes.items()}
                so_far = model.next_task(simulate(reading(model), before).learned["readout"])
                plain.next_task(fresh_rows(model, so_far, plain.task + 1))
            at = units.units[np.isclose(units.times, (k + 1) * WINDOW)]
            own = int(at[0]) if model.rule == "reward" else None
            if k == 2:
                label = int(spikes["label" if model.rule == "delta" else "reward"][i].units[0])
            else:
                label = None
            winner, scores = plain.window(counts, label, winner=own)
            assert winner == at[0] < CLASSES
            found = result.readings["readout"][i][k]
            np.testing.assert_allclose(found[:CLASSES], scores, rtol=2e-3, atol=2e-4)
    learned = result.learned["readout"]
    np.testing.assert_allclose(learned["weights"], plain.w, rtol=2e-3, atol=2e-4)
    if model.lateral:
        np.testing.assert_allclose(learned["lateral.rows"], plain.h, rtol=2e-3, atol=2e-4)
    assert np.abs(plain.w).max() > 0.01


@pytest.mark.slow
def test_the_delta_rule_learns_and_reward_does() -> None:
    """Three patterns of inputs, known after 60 recordings."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 200)
    counts = rng.poisson(np.array([[4.0] * 5 + [1.0] * 9, [1.0] * 5 + [4.0] * 5 + [1.0] * 4, [1.0] * 10 + [4.0] * 4]))
    counts = rng.poisson(0.3 + counts[labels])
    batch = of_counts(counts)
    model = OnlineReadout(INPUTS, 3, learning_rate=0.2)
    found = simulate(reading(model), {"input": batch, **teachers(model, labels, None, WINDOW)}).spikes["readout"]
    assert np.mean(found.units[60:] == labels[60:]) > 0.95  # type: ignore[union-attr]
    # A reward depends on the answer: one recording after the other.
    model = OnlineReadout(INPUTS, 3, learning_rate=0.2, rule="reward", seed=1)
    learned = None
    right = []
    for i in range(200):
        silent = {"input": batch[i], "reward": label_recordings([-1], 2, 0.0, WINDOW)[0]}
        answer = simulate(reading(model, False, learned), silent).spikes["readout"].units[0]
        right.append(answer == labels[i])
        # Exploration is drawn in the learning run: the answer there is the one that is rewarded.
        for guess in (1, 0):
            reward = {"input": batch[i], "reward": label_recordings([guess], 2, 0.0, WINDOW)[0]}
            tried = simulate(reading(model, True, learned), reward)
            if (tried.spikes["readout"].units[0] == labels[i]) == guess:
                break
        learned = dict(tried.learned["readout"])
    assert np.mean(right[100:]) > 0.9


def test_with_a_penalty_the_weights_are_those_of_ridge_regression() -> None:
    """After every item, each seen once; what a frozen or restored readout knows is the same."""
    model = OnlineReadout(INPUTS, CLASSES, features="counts", penalty=0.7)
    batch = clips(COUNT, INPUTS, 1, seed=4)
    goals = teachers(model, LABELS, None, WINDOW)
    for n in (3, COUNT):
        learned = simulate(reading(model), {k: v.select(np.arange(n)) for k, v in {"input": batch, **goals}.items()})
        x = batch.counts()[:n].astype(float)
        t = np.eye(CLASSES)[LABELS[:n]]
        ridge = np.linalg.solve(x.T @ x + 0.7 * np.eye(INPUTS), x.T @ t).T
        np.testing.assert_allclose(learned.learned["readout"]["weights"], ridge, rtol=1e-4, atol=1e-5)
        pairs = learned.learned["readout"]["pairs"]
        np.testing.assert_allclose(pairs, np.linalg.inv(x.T @ x + 0.7 * np.eye(INPUTS)), rtol=1e-9, atol=1e-12)
        assert (pairs == pairs.T).all()


def test_a_small_penalty_projects_changes_out_of_all_inputs_so_far() -> None:
    """The synapses between inputs become the projection away from the items; a new label leaves their scores alone."""
    penalty = 1e-3
    items = INPUTS // 2
    model = OnlineReadout(INPUTS, CLASSES, features="counts", penalty=penalty)
    batch = clips(items + 1, INPUTS, 1, seed=4)
    x = np.array([np.bincount(recording.units, minlength=INPUTS) for recording in batch])
    learned = simulate(reading(model), taught(model, batch.select(np.arange(items)), time=0.0)).learned["readout"]
    away = np.eye(INPUTS) - np.linalg.pinv(x[:items]) @ x[:items]
    np.testing.assert_allclose(penalty * learned["pairs"], away, atol=1e-3)
    last = {name: each.select([items]) for name, each in taught(model, batch, time=0.0).items()}
    after = simulate(reading(model, learned=learned), last).learned["readout"]["weights"] @ x.T
    before = learned["weights"] @ x.T
    np.testing.assert_allclose(after[:, :-1], before[:, :-1], atol=1e-3)
    assert np.abs(after[:, -1] - before[:, -1]).max() > 0.1


def test_exploration_is_drawn_by_recording() -> None:
    model = OnlineReadout(INPUTS, CLASSES, rule="reward", exploration=1.0, seed=3)
    result = simulate(reading(model), taught(model, clips(COUNT, INPUTS, WINDOWS)))
    chosen = [set(item.units.tolist()) for item in result.spikes["readout"]]
    assert all(len(units) == 1 for units in chosen) and len(set().union(*chosen)) == CLASSES
    frozen = simulate(reading(model, learn=False), taught(model, clips(COUNT, INPUTS, WINDOWS)))
    assert set(frozen.spikes["readout"].units.tolist()) == {0}  # type: ignore[union-attr]


def test_a_task_is_announced_by_a_spike_or_between_runs() -> None:
    model = MODELS["deflation"]
    batch = clips(20, INPUTS, WINDOWS)
    # In a window without spikes before it, both are the same.
    tasks = np.where(np.arange(20) == 10, 0, -1)
    spikes = taught(model, batch)
    spikes["task"] = label_recordings(tasks, 1, 0.0, LENGTH)
    whole = simulate(reading(model), spikes).learned["readout"]
    halves = [{n: each.select(part) for n, each in taught(model, batch).items()} for part in np.split(np.arange(20), 2)]
    learned = model.next_task(simulate(reading(model), halves[0]).learned["readout"])
    assert not learned["lateral.rows"][5:].any() and learned["lateral.task"].tolist() == [1]
    again = simulate(reading(model, learned=learned), halves[1]).learned["readout"]
    for name, array in whole.items():
        np.testing.assert_allclose(again[name], array, rtol=1e-5, atol=1e-6, err_msg=name)


def test_old_answers_stay_where_the_circuit_has_learned_them() -> None:
    """Items of the first task keep their scores while a second is learned; without a circuit they do not."""
    rng = np.random.default_rng(3)
    old, new = (rng.poisson(1.0, (60, 4)) @ rng.integers(0, 3, (4, 30)) for _ in range(2))
    found = {}
    for rows in ((4, 4), None):
        model = OnlineReadout(30, 4, features="counts", lateral=LateralCircuit(rows) if rows else None)
        learned = None
        scores = []
        for labels, counts in ((rng.integers(0, 2, 60), old), (rng.integers(2, 4, 60), new)):
            inputs = {"input": of_counts(counts), **teachers(model, labels, np.full(60, -1), WINDOW)}
            learned = dict(simulate(reading(model, learned=learned), inputs).learned["readout"])
            if rows and not scores:
                learned = model.next_task(learned)
            silent = {"input": of_counts(old), **teachers(model, np.full(60, -1), np.full(60, -1), WINDOW)}
            tested = simulate(reading(model, False, learned), silent).readings["readout"]
            scores.append(np.array([item[-1, :2] for item in tested]))
        found[rows] = float(np.abs(scores[1] - scores[0]).max())
    assert found[4, 4] < 1e-3 and found[None] > 0.05


def test_a_frozen_readout_stays_and_needs_no_labels() -> None:
    model = MODELS["deflation"]
    batch = clips(12, INPUTS, WINDOWS)
    learned = simulate(reading(model), taught(model, batch)).learned["readout"]
    unlabelled = {"input": batch, **teachers(model, np.full(12, -1), np.full(12, -1), LENGTH)}
    result = simulate(reading(model, False, learned), unlabelled, threads=2)
    for name in ("weights", "lateral.rows", "lateral.power", "seen", "counters"):
        kept = result.learned["readout"][name]
        assert np.array_equal(kept, learned[name]) or name == "counters", name
    labelled = simulate(reading(model, False, learned), taught(model, batch), threads=1)
    assert result.spikes["readout"].digest() == labelled.spikes["readout"].digest()  # type: ignore[union-attr]


def test_a_batch_is_learned_in_order() -> None:
    model = MODELS["delta"]
    batch = clips(20, INPUTS, WINDOWS)
    spikes = taught(model, batch)
    learned = simulate(reading(model), spikes, threads=2).learned["readout"]
    one_by_one = None
    for i in range(20):
        each = {name: items[i] for name, items in spikes.items()}
        one_by_one = simulate(reading(model, learned=one_by_one), each).learned["readout"]
    assert np.array_equal(learned["weights"], one_by_one["weights"])  # type: ignore[index]
    back = {name: items.select(np.arange(20)[::-1]) for name, items in spikes.items()}
    assert not np.array_equal(simulate(reading(model), back).learned["readout"]["weights"], learned["weights"])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("cut", [0.012, 0.03])
def test_goes_on_from_a_file_in_the_middle(name: str, cut: float, tmp_path: Path) -> None:
    """Bit for bit, before and after the label."""
    model = MODELS[name]
    batch = clips(9, INPUTS, WINDOWS)
    first = {n: each.select(np.arange(8)) for n, each in taught(model, batch).items()}
    learned = simulate(reading(model), first).learned["readout"]
    last = {n: each[8] for n, each in taught(model, batch, tasks=np.zeros(9, int)).items()}
    network = reading(model, learned=learned)
    whole = simulate(network, last)
    simulation = Simulation(network, last)
    part = simulation.run(cut)
    simulation.save(tmp_path / "saved")
    again = Simulation.load(tmp_path / "saved", reading(model, learned=learned), last)
    rest = again.run(LENGTH - cut)
    assert len(again.learned["readout"]) > 5
    joined = np.concatenate([part.readings["readout"], rest.readings["readout"]])
    assert joined.tolist() == whole.readings["readout"].tolist()
    for key, array in whole.learned["readout"].items():
        assert again.learned["readout"][key].tobytes() == array.tobytes(), key


def test_work_counts_lateral_operations_and_memory() -> None:
    rows = (4, 3)
    count = 10
    model = OnlineReadout(INPUTS, CLASSES, lateral=LateralCircuit(rows))
    counts = np.random.default_rng(3).poisson(1.0, (2 * count, INPUTS))
    inputs = {"input": of_counts(counts), **teachers(model, np.arange(2 * count) % 3, starts_of(count), WINDOW)}
    (layer,) = simulate(reading(model), inputs).work
    active = np.count_nonzero(counts, axis=1)
    forward = CLASSES * active.sum() + 4 * active[: count + 1].sum() + 7 * active[count + 1 :].sum()
    feedback = count * 4 * INPUTS
    learning = 2 * INPUTS * (4 * count + 3 * count)
    assert layer.synaptic_operations == forward + feedback + learning
    assert layer.weights == (CLASSES + 7) * INPUTS and layer.outputs == CLASSES + 7
    assert model.lateral_bytes == 7 * (4 * INPUTS + 8)
    assert layer.parameter_bytes == 4 * CLASSES * INPUTS + model.lateral_bytes


def starts_of(count: int) -> NDArray:
    return np.where(np.arange(2 * count) == count, 0, -1)


def test_a_missing_label_is_an_error() -> None:
    for name, teacher in (("delta", "label"), ("reward", "reward")):
        model = MODELS[name]
        batch = clips(3, INPUTS, WINDOWS)
        for lost in (0, 1, 2):
            labels = np.where(np.arange(3) == lost, -1, 1)
            inputs = {"input": batch, **teachers(model, labels, np.full(3, -1), LENGTH)}
            with pytest.raises(NeurosimInputError) as caught:
                simulate(reading(model), inputs)
            assert str(caught.value) == (
                f"simulate.inputs: recording {lost}: brings no spike to receptor '{teacher}' of population 'readout', "
                f"which learns; link a source of {teacher}s to it, with one spike in every recording before the last "
                f"window of {LENGTH / WINDOWS:g} s ends, or set Windowed.learn to false"
            )
            if lost == 2:
                alone = {key: items[lost] for key, items in inputs.items()}
                with pytest.raises(NeurosimInputError, match=r"simulate.inputs: the recording: brings no spike to rec"):
                    simulate(reading(model), alone)
                simulate(reading(model, learn=False), inputs)


def test_a_readout_that_is_stepped_by_hand_misses_its_label_too() -> None:
    state = MODELS["delta"].start()
    nothing = Arrivals(np.empty(0, np.int32), np.empty(0, np.int64))
    state.step({"input": nothing, "label": nothing}, learn=True)
    with pytest.raises(NeurosimInputError, match=r"a recording ended without a spike of its receptor 'label'; link a"):
        state.begin()


def test_a_network_without_labels_is_refused_unless_the_readout_is_frozen() -> None:
    for name, teacher in (("delta", "label"), ("reward", "reward")):
        model = MODELS[name]
        source = Population("in", INPUTS, SpikeSource())
        for learn in (False, True):
            readout = Population("readout", model.outputs, Windowed(model, WINDOW, learn))
            if not learn:
                Network([source, readout], links=[Link("in", "readout")])
                continue
            with pytest.raises(NeurosimInputError) as caught:
                Network([source, readout], links=[Link("in", "readout")])
        assert str(caught.value) == (
            f"Population['readout'].model: learns from its receptor '{teacher}', on which no link ends; link a "
            "population to it, or set Windowed.learn to false"
        )


def test_labels_and_tasks_that_do_not_fit() -> None:
    model = MODELS["deflation"]
    batch = clips(4, INPUTS, WINDOWS)
    both = taught(model, batch)
    both["label"] = Recordings(
        np.zeros(8), np.array([0, 2] * 4, np.int32), 2 * np.arange(5), both["label"].durations, CLASSES
    )
    with pytest.raises(NeurosimInputError, match=r"receptor 'label': must get one unit in a window \(got \[0, 2\]\)"):
        simulate(reading(model), both)
    with pytest.raises(NeurosimInputError, match=r"task 4 was announced, and LateralCircuit.rows is of 3 tasks; give"):
        simulate(reading(model), taught(model, clips(4, INPUTS, WINDOWS), tasks=np.zeros(4, int)))
    readout = Population("readout", model.outputs, Windowed(model, WINDOW, learn=False))
    with pytest.raises(
        NeurosimInputError, match=r"must fit into the 3 inputs of 'label' of its OnlineReadout \(got 4\)"
    ):
        Network([readout, Population("label", 4, SpikeSource())], links=[Link("label", "readout", "label")])
    with pytest.raises(NeurosimInputError, match="has no lateral circuit; give lateral=LateralCircuit"):
        item = MODELS["delta"]
        item.next_task(simulate(reading(item), taught(item, clips(2, INPUTS, WINDOWS))).learned["readout"])


def test_announcements_before_the_first_item_of_a_task_have_no_effect() -> None:
    model = MODELS["deflation"]
    batch = clips(4, INPUTS, WINDOWS)
    announced = simulate(reading(model), taught(model, batch, tasks=np.array([0, -1, -1, -1]))).learned["readout"]
    plain = simulate(reading(model), taught(model, batch)).learned["readout"]
    assert all(np.array_equal(announced[name], array) for name, array in plain.items())


def test_comes_back_from_toml(tmp_path: Path) -> None:
    model = MODELS["hebbian, spiking"]
    learned = simulate(reading(model), taught(model, clips(4, INPUTS, WINDOWS))).learned["readout"]
    network = reading(model, learned=learned)
    write_description(tmp_path / "net.toml", network)
    assert describe(read_description(tmp_path / "net.toml").network) == describe(network)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inputs": 0}, "OnlineReadout.inputs: must be an integer in 1..2147483647 (got 0)"),
        ({"classes": 2.5}, "OnlineReadout.classes: must be an integer in 1..2147483647 (got 2.5)"),
        (
            {"rule": "dleta"},
            "OnlineReadout.rule: unknown name 'dleta'; did you mean 'delta'? choose from delta, reward",
        ),
        ({"error": "hinge"}, "OnlineReadout.error: unknown name 'hinge'; choose from linear, softmax"),
        ({"learning_rate": 0.0}, "OnlineReadout.learning_rate: must be > 0 (got 0.0)"),
        ({"exploration": 1.5}, "OnlineReadout.exploration: must be >= 0 and <= 1 (got 1.5)"),
        ({"normalised": 2}, "OnlineReadout.normalised: must be true or false (got 2)"),
        ({"input_rates": 1}, "OnlineReadout.input_rates: must be true or false (got 1)"),
        (
            {"input_rates": True, "lateral": LateralCircuit((3,))},
            "OnlineReadout.input_rates: must be false with a lateral circuit (got true): rates of each input lead "
            "changes out of the directions that the circuit leaves free",
        ),
        ({"penalty": -1.0}, "OnlineReadout.penalty: must be >= 0 (got -1.0)"),
        ({"penalty": 1.0, "error": "softmax"}, "OnlineReadout.error: must be 'linear' with a penalty (got softmax)"),
        ({"penalty": 1.0, "rule": "reward"}, "OnlineReadout.rule: must be 'delta' with a penalty (got reward)"),
        (
            {"penalty": 1.0, "inputs": 9000, "windows": 2},
            "OnlineReadout.penalty: must be 0 with more than 16384 inputs x windows, here 18000 (got 1.0)",
        ),
        ({"lateral": (3,)}, "OnlineReadout.lateral: must be a LateralCircuit or None (got (3,))"),
        (
            {"lateral": LateralCircuit((10, 5))},
            "OnlineReadout.lateral.rows: must be at most the 14 features in all (got 15)",
        ),
    ],
)
def test_settings_are_checked(settings: dict, message: str) -> None:
    with pytest.raises(NeurosimInputError) as caught:
        OnlineReadout(**{"inputs": INPUTS, "classes": CLASSES, **settings})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weights", None, "state: array 'weights' is missing; give a state of the same model"),
        ("weights", np.zeros((3, 27), np.float32), "state['weights']: must be float32 [3, 28] (got float32 [3, 27])"),
        ("weights", np.full((3, 28), np.inf, np.float32), "state['weights']: must be in -3.40282e+38..3.40282e+38"),
        ("seen", np.zeros(3), "state['seen']: must be bool [3] (got float64 [3])"),
        ("counters", np.array([0, -1]), "state['counters']: must be in 0..4.61169e+18 (got [-1])"),
        ("lateral.task", np.array([3]), "state['task']: must be in 0..2 (got [3])"),
        ("lateral.power", np.full(9, -1.0), "state['power']: must be in 0..1e+300 (got [-1.])"),
        ("lateral.rows", np.full((9, 28), np.nan, np.float32), "state['rows']: must be in -3.40282e+38..3.40282e+38"),
        ("lateral.sent", np.full(9, 99), "state['sent']: must be in -40..40 (got [99])"),
        ("sums", np.full(28, np.nan), "state['sums']: must be in 0..9.0072e+15 (got [nan])"),
    ],
)
def test_saved_values_are_checked(name: str, value: NDArray | None, message: str) -> None:
    model = MODELS["deflation"]
    arrays = {**model.start().arrays(), name: value}
    if value is None:
        del arrays[name]
    with pytest.raises(NeurosimInputError) as caught:
        Windowed(model, WINDOW, learned=arrays).start()  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["delta", "deflation, spiking", "reward"])
def test_equals_the_dense_simulation(name: str) -> None:
    model = MODELS[name]
    batch = clips(1, INPUTS, WINDOWS)
    played = {n: each[0] for n, each in taught(model, batch, time=0.005).items()}
    expected = simulate_dense(reading(model), played).spikes["readout"]
    found = simulate(reading(model), played, precision="float64").spikes["readout"]
    assert found.digest() == expected.digest() and len(found) >= WINDOWS  # type: ignore[union-attr, arg-type]
