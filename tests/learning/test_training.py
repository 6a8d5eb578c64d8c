"""Training: it learns, goes on bit for bit, says why it cannot, and two processes are one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from helpers.bars import bars
from helpers.training import BINNING, DESIGN, trainer

from neurosim import NeurosimError, Recordings, Spikes
from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.learning import Binning, NetworkSpec, SpikingNet, Trainer, TrainingSpec
from neurosim.learning.training.saved import load, save
from neurosim.learning.training.scoring import scores

TESTS = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("one_thread")


def weights(net: SpikingNet) -> bytes:
    return b"".join(p.detach().numpy().tobytes() for p in net.state_dict().values())


@pytest.mark.parametrize(
    "design",
    [
        NetworkSpec(hidden=(32,)),
        NetworkSpec(hidden=(24,), neuron="SEAdLIF", recurrent=True, reset="zero"),
        NetworkSpec(hidden=(24,), neuron="CurrentLIF", readout="max", train_tau=True),
        NetworkSpec(hidden=(16,), filters=(6,), kernel=3, taps=2, readout="last"),
        NetworkSpec(hidden=(32,), readout="count"),
    ],
    ids=["LIF", "SEAdLIF", "CurrentLIF", "convolution", "count"],
)
def test_every_design_learns_the_bars(design: NetworkSpec) -> None:
    made = trainer(design=design, epochs=12)
    course = made.run()
    assert course.history[-1].loss < 0.8 * course.history[0].loss
    assert course.history[course.best - 1].validation_accuracy > 0.7  # chance is .25
    test = bars(10, 2000)
    found = scores(made.net, BINNING, test).argmax(axis=1)
    assert np.mean(found == test.labels) > 0.7


def test_the_largest_seeds_of_a_run_are_seeds_of_a_network() -> None:
    """Parts of a network are keyed by a thousand times the seed, which torch's generator does not take."""
    design = NetworkSpec(hidden=(8,), filters=(2,), kernel=3)
    drawn = {weights(SpikingNet(shape=(2, 6, 6), classes=3, spec=design, seed=2**63 - k)) for k in (1, 2)}
    assert len(drawn) == 2


def test_scores_do_not_depend_on_the_batch() -> None:
    made = trainer(epochs=1)
    made.run()
    test = bars(4, 50)
    whole = scores(made.net, BINNING, test)
    np.testing.assert_allclose(scores(made.net, BINNING, test, np.array([5, 3])), whole[[5, 3]], atol=1e-6)


def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole.safetensors")
    whole.run()

    class Killed(Exception):
        pass

    def kill(told: object) -> None:
        if told.epoch == 4 and told.done == 3:  # type: ignore[attr-defined]
            raise Killed

    path = tmp_path / "part.safetensors"
    with pytest.raises(Killed):
        trainer(path).run(kill)
    again = trainer(path)
    assert again.state.epoch == 3
    course = again.run()
    assert weights(again.net) == weights(whole.net)
    for mine, its in zip(course.history, whole.state.history, strict=True):
        assert replace(mine, seconds=0, layer_seconds=0) == replace(its, seconds=0, layer_seconds=0)
    assert (course.best, course.step) == (whole.state.best, whole.state.step)


def test_the_seed_decides() -> None:
    a = trainer(epochs=1)
    b = trainer(epochs=1)
    torch.manual_seed(5)
    a.run()
    torch.manual_seed(6)
    b.run()
    assert weights(a.net) == weights(b.net)
    b = trainer(epochs=1)
    b.seed = 8
    b.run()
    assert weights(a.net) != weights(b.net)


def test_it_stops_when_validation_no_longer_improves() -> None:
    made = trainer(epochs=60, patience=3)
    course = made.run()
    assert course.stopped and course.epoch == course.best + 3 < 60
    ranked = [(row.validation_accuracy, -row.validation_loss) for row in course.history]
    assert max(range(len(ranked)), key=ranked.__getitem__) + 1 == course.best


def test_without_validation_the_last_network_is_kept() -> None:
    made = trainer(epochs=2)
    made.validation = None
    course = made.run()
    assert course.best == 2 and course.history[0].validation_accuracy is None


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    made = trainer(path)

    def break_it(told: object) -> None:
        if told.epoch == 2 and told.done == 2:  # type: ignore[attr-defined]
            with torch.no_grad():
                made.net.readout.connection.weight.fill_(float("nan"))

    with pytest.raises(NeurosimError) as error:
        made.run(break_it)
    steps = len(made._batches(0))
    assert str(error.value) == (
        f"training: the loss is nan at step {steps + 3}, in epoch 2; {path} holds epoch 1; train again with a lower "
        "training.learning_rate"
    )
    kept = trainer(path)
    assert kept.state.epoch == 1 and all(bool(p.isfinite().all()) for p in kept.net.parameters())


def test_the_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    trainer(path, epochs=1).run()
    with pytest.raises(NeurosimInputError) as error:
        trainer(path, NetworkSpec(hidden=(24, 20), recurrent=True, dropout=0.2))
    assert str(error.value) == (
        f"{path}: is the checkpoint of another network: spec.hidden must be [24, 20] (got [24, 16]); train anew"
    )
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(NeurosimFormatError):
        trainer(path)


def test_a_network_is_saved_and_loaded(tmp_path: Path) -> None:
    made = trainer(epochs=1)
    made.run()
    save(tmp_path / "net.safetensors", made.net, BINNING, ("a", "b", "c", "d"))
    net, binning, names = load(tmp_path / "net.safetensors")
    assert asdict(binning) == asdict(BINNING) and names == ("a", "b", "c", "d") and net.spec == DESIGN
    assert weights(net) == weights(made.net)
    test = bars(3, 70)
    np.testing.assert_array_equal(scores(net, binning, test), scores(made.net, BINNING, test))


def test_start_weights_make_every_layer_fire_alike() -> None:
    for design in (NetworkSpec(hidden=(40, 40, 40)), NetworkSpec(hidden=(40, 40), neuron="SEAdLIF")):
        net = SpikingNet(BINNING.shape, 4, design, BINNING.dt)
        x = torch.from_numpy(BINNING.batch(bars(10), np.arange(40)).x)
        net.calibrate(x, rate=0.1)
        for spikes in net.trace(x).spikes:
            assert spikes.detach().mean().item() == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("max_count", [1, 0])
def test_lists_of_entries_train_the_same_bits_as_tensors(max_count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    binning = replace(BINNING, max_count=max_count)
    found = []
    for takes in (True, False):
        monkeypatch.setattr(SpikingNet, "takes_lists", takes)
        net = SpikingNet(BINNING.shape, 4, NetworkSpec(hidden=(24,)), BINNING.dt, seed=3)
        schedule = TrainingSpec(epochs=2, batch=16, learning_rate=0.01)
        made = Trainer(net, binning, bars(12), bars(6, 1000), schedule, seed=7)
        history = made.run().history
        found.append([*net.state_dict().values(), torch.tensor([row.validation_loss for row in history])])
    for listed, dense in zip(*found, strict=True):
        assert torch.equal(listed, dense)


def test_sparsity_is_paid_for() -> None:
    rates = []
    for weight in (0.0, 30.0):
        made = trainer(epochs=4, sparsity=weight)
        rates.append(made.run().history[-1].rate)
    assert rates[1] < 0.5 * rates[0]


def test_settled_weights_add_up_exactly_in_any_order() -> None:
    net = SpikingNet((500,), 4, NetworkSpec(hidden=(50,), recurrent=True), 0.01, seed=1)
    before = [block.connection.weight.detach().clone() for block in net.layers]
    net.round_for_exact_sums(max_count=3)
    for block, old in zip(net.layers, before, strict=True):
        w = block.connection.weight.detach()
        assert float((w - old).abs().max()) < 1e-5
        some = torch.randint(0, 4, (w.shape[1],), generator=torch.Generator().manual_seed(0)).float()
        order = torch.randperm(len(some), generator=torch.Generator().manual_seed(1))
        terms = w * some
        exact = terms.double().sum(dim=1)
        for sums in (w @ some, terms.sum(dim=1), terms[:, order].cumsum(dim=1)[:, -1]):
            assert torch.equal(sums.double(), exact)


def test_dropout_is_the_same_for_a_share_of_the_batch() -> None:
    net = SpikingNet(BINNING.shape, 4, DESIGN, BINNING.dt)
    masks = net.dropout(10, 5)
    assert [tuple(m.shape) for m in masks] == [(10, 24), (10, 16)]
    assert all(torch.equal(a, b) for a, b in zip(masks, net.dropout(10, 5), strict=True))
    assert set(torch.cat([m.flatten() for m in masks]).tolist()) == {0.0, 1.25}


TWO = """
import sys
import numpy as np, torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from helpers.bars import bars
from helpers.training import trainer
from neurosim.learning.training.parallel import team
with team() as crew:
    made = trainer(epochs=2)
    made.team = crew
    losses = [made.gradient(np.array([5, 9, 0, 33, 12, 7, 21]))]
    # A batch with fewer recordings than processes.
    grads = [p.grad.clone().numpy().ravel() for p in made.net.parameters()]
    losses.append(made.gradient(np.array([4])))
    grads += [p.grad.clone().numpy().ravel() for p in made.net.parameters()]
    course = made.run()
    if crew.leads:
        rows = [[row.loss, row.validation_loss] for row in course.history]
        np.savez({out!r}, grad=np.concatenate(grads), loss=losses, rows=rows)
"""


def _processes(count: int, out: Path) -> dict[str, np.ndarray]:
    script = out.with_suffix(".py")
    script.write_text(TWO.format(tests=str(TESTS), out=str(out)))
    # torchrun finds a free port and keeps it: one chosen here could be taken before it is used.
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*torchrun, str(script)], env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    with np.load(out) as found:
        return dict(found)


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_one(tmp_path: Path) -> None:
    one, two = (_processes(n, tmp_path / f"{n}.npz") for n in (1, 2))
    scale = np.abs(one["grad"]).max()
    assert scale > 1e-3
    np.testing.assert_allclose(two["grad"], one["grad"], rtol=1e-4, atol=1e-6 * scale)
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-6)
    np.testing.assert_allclose(two["rows"], one["rows"], rtol=2e-2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: NetworkSpec(neuron="LIFF"),
            "NetworkSpec.neuron: unknown name 'LIFF'; did you mean 'LIF'? choose from ",
        ),
        (lambda: NetworkSpec(hidden=()), "NetworkSpec.hidden: must be at least one layer (got ())"),
        (lambda: NetworkSpec(tau_mem=-1.0), "NetworkSpec.tau_mem: must be > 0 s (got -1.0)"),
        (
            lambda: SpikingNet((2, 4, 4), 4, NetworkSpec(filters=(3,))),
            "NetworkSpec.kernel: must fit into 4 x 4 pixels (got 5)",
        ),
        (lambda: SpikingNet((4,), 1), "SpikingNet.classes: must be at least 2 (got 1)"),
        (lambda: SpikingNet((4,), 2)(torch.zeros(3, 1, 5)), "SpikingNet: input must be [T, B, 4] (got (3, 1, 5))"),
    ],
)
def test_bad_designs_are_named(make: Callable[[], object], words: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        make()
    assert str(error.value).startswith(words)


def test_half_of_what_torchrun_says_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from neurosim.learning.training.parallel import team

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(NeurosimInputError, match="RANK: must be set beside WORLD_SIZE; start the processes"), team():
        pass


@pytest.mark.parametrize(
    "design",
    [NetworkSpec(hidden=(24,), neuron="SEAdLIF", recurrent=True, reset="zero", dropout=0.2), NetworkSpec(filters=(6,))],
    ids=["SEAdLIF", "convolution"],
)
def test_a_batch_is_computed_where_the_network_is(design: NetworkSpec) -> None:
    """The stand-in for a card has no values: a tensor that is left on the CPU, or asked for, is an error there."""
    made = trainer(design=design)
    made.net.to("meta")
    made._device = torch.device("meta")
    found = made._backward(np.arange(6), slice(0, 4))
    assert found.is_meta and all(p.grad is not None and p.grad.is_meta for p in made.net.parameters())


def noise(recordings: int, side: int) -> Recordings:
    """Recordings of random events, of two classes."""
    draws = np.random.default_rng(5)
    units = 2 * side * side
    events = [(draws.random(900) * 0.08, draws.integers(0, units, 900)) for _ in range(recordings)]
    spikes = [Spikes.sort(*one, units, 0.08, (2, side, side)) for one in events]
    return Recordings.collect(spikes, np.arange(recordings) % 2, ("even", "odd"))


@pytest.mark.parametrize(
    "design",
    [
        pytest.param(NetworkSpec(hidden=(64,), filters=(12, 24), kernel=5, dropout=0.2), marks=pytest.mark.slow),
        pytest.param(
            NetworkSpec(hidden=(64,), filters=(24,), neuron="SEAdLIF", reset="zero", recurrent=True, taps=2),
            marks=pytest.mark.slow,
        ),
        NetworkSpec(hidden=(256, 64), neuron="CurrentLIF", train_tau=True, normalise=True),
    ],
    ids=["convolutions", "adaptive", "dense"],
)
def test_threads_of_torch_change_no_bit(design: NetworkSpec) -> None:
    binning = Binning((2, 20, 20), dt=0.004, duration=0.08)
    recordings = noise(128, 20)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        net = SpikingNet(binning.shape, 2, design, binning.dt, seed=3)
        schedule = TrainingSpec(epochs=1, batch=64, sparsity=0.1)
        last = Trainer(net, binning, recordings, None, schedule, seed=7).run().history[-1]
        results.append((weights(net), last.loss, last.rate))
    assert results[0] == results[1]
