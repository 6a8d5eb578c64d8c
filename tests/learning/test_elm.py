"""The ELM neuron: compiled form against its equations, bounds, branches, causality; SHD-Adding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimInputError
from neurosim.datasets.shd_adding import add_digits
from neurosim.kernels.layers.elm import cpu as kernel
from neurosim.kernels.layers.elm.reference import (
    MemoryNetwork,
    advance_reference,
    leak_reference,
    memory_reference,
)
from neurosim.learning.layers.elm import ELM, interlocked_windows


def sequence(steps: int = 11, batch: int = 3, inputs: int = 13, seed: int = 0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.poisson(torch.full((steps, batch, inputs), 0.4, dtype=torch.float64), generator=draws)


WINDOWS = torch.tensor([[0, 5, 5], [12, 1, 2], [3, 4, 0], [7, 7, 8]])
VALID = torch.tensor([[True, True, True], [True, False, True], [False, False, False], [True, True, False]])
FORMS = {
    "plain": {},
    "branches": {"branches": 4, "synapses_per_branch": 5},
    "windows": {"windows": WINDOWS, "valid": VALID},
    "single": {"windows": WINDOWS[:, :1]},
}


def neuron(form: str, **more: object) -> ELM:
    return ELM(13, 3, memory=7, dt=4e-3, train_tau=True, **FORMS[form], **more).double()  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
def test_it_is_its_equations_and_so_are_its_gradients(form: str) -> None:
    elm = neuron(form)
    x = sequence().requires_grad_()
    branches = len(elm.windows)
    start = (
        torch.rand(3, branches, dtype=torch.float64).requires_grad_(),
        torch.randn(3, 7, dtype=torch.float64).requires_grad_(),
    )
    with torch.no_grad():  # some synapses that relu shuts
        elm.weight[::2] -= 0.7
    found = []
    gradients = []
    for run in (elm.forward, elm.reference):
        y, (b, m) = run(x, start)
        loss = (y.sin() * torch.arange(y.numel()).reshape(y.shape)).sum() + b.square().sum() + m.pow(3).sum()
        found.append((y, b, m))
        gradients.append(torch.autograd.grad(loss, [x, *start, *elm.parameters()]))
    for mine, reference in zip(found[0], found[1], strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-12)
    for mine, reference in zip(gradients[0], gradients[1], strict=True):
        assert reference.abs().max() > 0
        torch.testing.assert_close(mine, reference, rtol=1e-9, atol=1e-10)


def test_windows_as_published() -> None:
    """45 branches of 100 synapses over 639 excitatory and 639 inhibitory inputs, which take turns."""
    windows, valid = interlocked_windows()
    assert windows.shape == valid.shape == (45, 100) and valid[:40].all() and not valid[44, 2:].any()
    assert windows[0, :4].tolist() == [0, 639, 1, 640]
    assert windows[1, 0] == windows[0, 29] == 639 + 14  # every 29 places
    assert set(windows[valid].tolist()) == set(range(1278))
    elm = ELM(1278, 2, memory=20, windows=windows, valid=valid)
    assert sum(p.numel() for p in elm.parameters() if p.requires_grad) == 8002  # the paper's number
    with pytest.raises(NeurosimInputError, match=r"interlocked_windows\.synapses: must be >= 26"):
        interlocked_windows(1278, 50, 20)
    with pytest.raises(NeurosimInputError, match=r"ELM\.windows: must be >= 0 and < 12, the inputs"):
        ELM(12, 3, windows=WINDOWS)
    with pytest.raises(NeurosimInputError, match=r"ELM\.valid: must be bool \[4, 3\]"):
        ELM(13, 3, windows=WINDOWS, valid=VALID[:2])
    with pytest.raises(NeurosimInputError, match=r"ELM\.windows: must come without branches"):
        ELM(13, 3, windows=WINDOWS, branches=2, synapses_per_branch=3)


def test_kernels_are_their_references_and_write_everything() -> None:
    draws = np.random.default_rng(0)
    x = draws.normal(size=(9, 2, 5))
    start = draws.normal(size=(2, 5))
    out = np.full_like(x, np.nan)
    kernel.leak(x.reshape(9, 10), 0.7, start.ravel(), out.reshape(9, 10))
    np.testing.assert_allclose(out, leak_reference(torch.from_numpy(x), 0.7, torch.from_numpy(start)), rtol=1e-13)
    drive = draws.normal(size=(9, 2, 6))
    network = memory_network(draws)
    values = kernel.MemoryPass(*(np.full((9, 2, size), np.nan) for size in (5, 6, 5, 5)))
    kernel.memory(drive, network, start, values)
    tensors = MemoryNetwork(*map(torch.from_numpy, network))
    expected = memory_reference(torch.from_numpy(drive), tensors, torch.from_numpy(start))
    np.testing.assert_allclose(values.out, expected, rtol=1e-12)
    assert not any(np.isnan(array).any() for array in values)


def memory_network(draws: np.random.Generator) -> MemoryNetwork:
    """Return a network of 5 memories and 6 hidden units."""
    return MemoryNetwork(
        keep=draws.random(5),
        gain=draws.random(5),
        inner=draws.normal(size=(5, 6)),
        outer=draws.normal(size=(6, 5)),
        bias=draws.normal(size=5),
    )


def test_a_step_of_events_is_its_reference() -> None:
    draws = np.random.default_rng(1)
    rows = draws.normal(size=(13, 6))
    hidden_bias = draws.normal(size=6)
    network = memory_network(draws)
    states = [(np.zeros(6), np.zeros(5)) for _ in range(2)]
    scratch = (np.full(6, np.nan), np.full(5, np.nan))
    counts_on = set()
    for events in (3, 0, 7, 1):
        units = draws.integers(0, 13, events).astype(np.int32)
        counts = draws.integers(1, 4, events).astype(np.float64)
        (drive, memory), (plain_drive, plain_memory) = states
        on = kernel.advance(drive, 0.8, units, counts, rows, hidden_bias, network, memory, scratch)
        assert on == advance_reference(plain_drive, 0.8, units, counts, rows, hidden_bias, network, plain_memory)
        counts_on.add(on)
        np.testing.assert_allclose(drive, plain_drive, rtol=1e-12)
        np.testing.assert_allclose(memory, plain_memory, rtol=1e-12)
    assert len(counts_on) > 1


def test_a_branch_is_the_sum_of_its_window() -> None:
    """Branches of one synapse, one for each input, are the plain form; and a branch over all inputs sees their sum."""
    plain = neuron("plain")
    single = ELM(13, 3, memory=7, dt=4e-3, branches=13, synapses_per_branch=1, train_tau=True).double()
    x = sequence()
    assert torch.equal(plain(x)[0], single(x)[0])
    one = ELM(13, 3, memory=7, dt=4e-3, branches=1, synapses_per_branch=13).double()
    mixed = x[:, :, torch.randperm(13, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(one(x)[0], one(mixed)[0])


def test_windows_overlap_as_published() -> None:
    elm = ELM(1278, 2, memory=15, branches=45, synapses_per_branch=100)
    windows = elm.windows
    assert windows.shape == (45, 100) and elm.weight.shape == (45, 100)
    assert windows[0, 0] == 0 and windows[-1, -1] == 1277 and bool((windows.diff(dim=1) == 1).all())
    assert set(windows[:, 0].diff().tolist()) <= {26, 27}
    assert len(torch.unique(windows)) == 1278
    # 4,500 synapses, the hidden layer (45 + 15 to 30), the proposal (30 to 15), two outputs; fixed time constants.
    trained = sum(p.numel() for p in elm.parameters() if p.requires_grad)
    assert trained == 4500 + 61 * 30 + 31 * 15 + 2 * 16


def test_memories_are_bounded_and_time_constants_too() -> None:
    elm = ELM(4, 2, memory=20, dt=1e-3, tau_min=2e-3, tau_max=0.3, train_tau=True)
    tau = elm.tau_mem
    steps = tau.log().diff()
    torch.testing.assert_close(steps, steps.mean().expand(19), rtol=1e-3, atol=0)
    with torch.no_grad():
        elm.raw_tau.copy_(torch.linspace(-50, 50, 20))
        elm.proposal.bias.fill_(100.0)
    tau = elm.tau_mem.detach()
    assert float(tau.min()) >= 2e-3 and float(tau.max()) <= 0.3 * (1 + 1e-6)
    assert float(elm(torch.zeros(4000, 1, 4))[1][1].detach().abs().max()) <= 5 * 1.7159 * (1 + 1e-5)


def test_nothing_comes_before_its_cause_and_the_state_takes_a_sequence_up() -> None:
    elm = neuron("branches")
    x = sequence(steps=20)
    later = x.clone()
    later[12:] = 0
    assert torch.equal(elm(x)[0][:12], elm(later)[0][:12])
    whole, end = elm(x)
    first, state = elm(x[:8])
    second, again = elm(x[8:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    for a, b in zip(again, end, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(elm(x[:, 1])[0], whole[:, 1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"inputs": 0}, "ELM.inputs: must be an integer > 0 (got 0)"),
        ({"tau_syn": 0.0}, "ELM.tau_syn: must be finite and > 0 (got 0.0)"),
        ({"tau_max": 1e-4}, "ELM.tau_max: must be > tau_min 0.001 s and finite (got 0.0001)"),
        ({"branches": 3}, "ELM.synapses_per_branch: must be an integer > 0, as both or neither are given"),
        ({"branches": 3, "synapses_per_branch": 20}, "ELM.synapses_per_branch: must be <= 13 inputs (got 20)"),
        ({"weight": 0.0}, "ELM.weight: must be > 0"),
    ],
)
def test_bad_arguments_are_named(arguments: dict, words: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        ELM(**{"inputs": 13, "outputs": 2, **arguments})
    assert words in str(error.value)


@pytest.mark.parametrize("shape", [(5, 3, 12), (0, 3, 13), (13,)])
def test_input_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(NeurosimInputError, match=r"ELM\.forward: needs"):
        ELM(13, 2, memory=3)(torch.zeros(shape))


def utterances() -> Recordings:
    """Twenty labels, as SHD has, of one to four spikes each."""
    made = [Spikes(np.arange(1 + k % 4) * 0.1, np.full(1 + k % 4, k), 20, 0.5 + 0.1 * k) for k in range(20)]
    return Recordings.collect(made, np.arange(20))


@pytest.mark.slow
def test_pairs_follow_one_another_and_sum() -> None:
    said = utterances()
    pairs = add_digits(said, 200, seed=3)
    assert len(pairs) == 200 and len(pairs.classes) == 19
    first = pairs.groups["first"]
    second = pairs.groups["second"]
    assert len(np.unique(first)) == len(np.unique(second)) == 20 and not np.array_equal(first, second)
    np.testing.assert_array_equal(pairs.labels, first % 10 + second % 10)
    for k in (0, 17, 199):
        a = said[first[k]]
        b = said[second[k]]
        assert pairs[k].duration == pytest.approx(a.duration + b.duration)
        np.testing.assert_allclose(pairs[k].times, np.concatenate([a.times, a.duration + b.times]), rtol=1e-6)
        np.testing.assert_array_equal(pairs[k].units, np.concatenate([a.units, b.units]))


def test_pairs_are_keyed_by_seed_and_number() -> None:
    said = utterances()
    assert (
        add_digits(said, 9, 3).digest()
        == add_digits(said, 20, 3).select(range(9)).digest()
        != add_digits(said, 9, 4).digest()
    )
    with pytest.raises(NeurosimInputError, match=r"add_digits\.utterances: must have labels"):
        add_digits(Recordings.collect([Spikes([], [], 3, 0.1)]), 1, 0)
    with pytest.raises(NeurosimInputError, match=r"add_digits\.seed"):
        add_digits(said, 1, -1)


@pytest.mark.slow
@pytest.mark.data
def test_adding_on_real_speech(data_root) -> None:  # type: ignore[no-untyped-def]
    from neurosim.data import catalog

    pairs = catalog.load("shd-adding", "test", data_root / "FSDD-SHD")
    assert len(pairs) == 300 and set(pairs.labels) == set(range(19))
    assert all(np.all(np.diff(s.times) >= 0) and s.times[-1] <= s.duration for s in pairs)
    more = catalog.load("shd-adding", "test", data_root / "FSDD-SHD", {"pairs": 2})
    assert len(more) == 600 and more.select(range(300)).digest() == pairs.digest()
    with pytest.raises(NeurosimInputError, match=r"data.options.pairs: must be > 0"):
        catalog.load("shd-adding", "test", data_root / "FSDD-SHD", {"pairs": 0})
