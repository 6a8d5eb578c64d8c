"""The trainable layer: equal to the numpy form, gradients checked, sparsity kept, tasks not forgotten."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neurosim.base.distribution import install

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'neurosim-spiking[train]'")

from neurosim.base import NeurosimInputError
from neurosim.memory import DendriteNetwork, Prototypes, TrainableDendriteLayer


def layer(boost: float = 0.0, seed: int = 0, dtype: torch.dtype = torch.float64) -> TrainableDendriteLayer:
    sizes = {"inputs": 7, "units": 13, "contexts": 3, "segments": 4, "winners": 5}
    return TrainableDendriteLayer(**sizes, boost=boost, seed=seed).to(dtype)


@pytest.mark.parametrize("boost", [0.0, 2.0])
def test_equals_the_numpy_form(boost: float) -> None:
    module = layer(boost)
    rng = np.random.default_rng(0)
    module.eval()
    module.duty[:] = torch.rand(13, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for context in (rng.normal(size=(20, 3)), rng.normal(size=3)):
        x = rng.normal(size=(20, 7))
        mine = module(torch.from_numpy(x), torch.from_numpy(context)).detach().numpy()
        np.testing.assert_allclose(mine, module.frozen().forward(x, context, module.duty.numpy()), rtol=1e-12)
        assert ((mine != 0).sum(axis=1) == 5).all()


def test_ties_go_to_the_lower_units() -> None:
    module = layer()
    with torch.no_grad():
        for parameter in (module.weights, module.bias, module.segments):
            parameter.zero_()
        module.bias[[1, 3, 4, 6, 8, 9, 12]] = 1.0
    out = module(torch.zeros(2, 7, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    assert out[0].nonzero()[:, 0].tolist() == [1, 3, 4, 6, 8]
    expected = module.frozen().forward(np.zeros((2, 7)), np.zeros(3))
    np.testing.assert_array_equal(out.detach().numpy(), expected)


@pytest.mark.parametrize("shared", [False, True])
def test_gradients(shared: bool) -> None:
    """Central differences, of every parameter and both inputs; winners do not change within the step."""
    module = layer(seed=3)
    draws = torch.Generator().manual_seed(2)
    x = torch.randn(6, 7, dtype=torch.float64, generator=draws, requires_grad=True)
    context = torch.randn(*(() if shared else (6,)), 3, dtype=torch.float64, generator=draws, requires_grad=True)
    names = [name for name, _ in module.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in module.parameters()]

    def run(x, context, *parameters):
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x, context))

    assert torch.autograd.gradcheck(run, (x, context, *values), eps=1e-7, atol=1e-6)


def test_only_the_strongest_segment_of_a_winner_learns() -> None:
    module = layer(seed=4)
    draws = torch.Generator().manual_seed(5)
    x = torch.randn(1, 7, generator=draws).double()
    context = torch.randn(3, generator=draws).double()
    out = module(x, context)
    out.sum().backward()
    answers = torch.einsum("ijc,c->ij", module.segments.detach(), context)
    learned = module.segments.grad.abs().sum(dim=-1) > 0
    for unit in range(13):
        best = answers[unit].abs().argmax().item()
        assert learned[unit].nonzero()[:, 0].tolist() == ([best] if out[0, unit] != 0 else [])


def test_weights_are_sparse_and_stay_so() -> None:
    module = TrainableDendriteLayer(inputs=20, units=30, contexts=3, segments=2, winners=5)
    assert ((module.weights != 0).sum(dim=1) == 10).all()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    before = module.weights.detach().clone()
    for _ in range(3):
        module(torch.ones(4, 20), torch.ones(3)).square().sum().backward()
        optimizer.step()
        module.rezero()
    assert (module.weights[~module.mask] == 0).all()
    assert (module.weights != before).any()


def test_duty_cycles_follow_the_winners_in_training_only() -> None:
    module = layer(boost=1.0)
    x = torch.randn(100, 7, generator=torch.Generator().manual_seed(1)).double()
    context = torch.zeros(3).double()
    won = (module(x, context) != 0).double().mean(dim=0)
    torch.testing.assert_close(module.duty, won * 0.1)  # 100 samples of a period of 1000
    module.eval()
    before = module.duty.clone()
    module(x, context)
    assert torch.equal(module.duty, before)


def test_a_network_learns_a_second_task_and_keeps_the_first() -> None:
    """The same inputs, with labels swapped by the context: without it one of the tasks must be at chance."""
    draws = torch.Generator().manual_seed(7)
    centres = torch.randn(4, 16, generator=draws)
    x = centres.repeat(50, 1) + 0.3 * torch.randn(200, 16, generator=draws)
    labels = torch.arange(4).repeat(50)
    contexts = torch.eye(2) * 4
    network = DendriteNetwork(16, 4, contexts=2, segments=2, units=128, density=0.1, seed=1)
    for task in range(2):
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(60):
            optimizer.zero_grad()
            scores = network(x, contexts[task])
            torch.nn.functional.cross_entropy(scores, (labels + task) % 4).backward()
            optimizer.step()
            network.rezero()
    right = [(network(x, contexts[t]).argmax(dim=1) == (labels + t) % 4).float().mean().item() for t in range(2)]
    assert right[1] > 0.95 and right[0] > 0.8, right


def test_the_same_seed_gives_the_same_network() -> None:
    a, b, c = (DendriteNetwork(5, 2, 3, 2, units=10, seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["first.segments"], c["first.segments"])
    assert not torch.equal(a["first.segments"], a["second.segments"])


def test_importing_the_folder_does_not_import_torch() -> None:
    code = "import sys, neurosim.memory as d; d.DendriteLayer, d.Prototypes; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_torch_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import neurosim.memory as d\n"
        "from neurosim.base.errors import NeurosimMissingError\n"
        "try: d.TrainableDendriteLayer\n"
        "except NeurosimMissingError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "TrainableDendriteLayer: needs torch" in done.stdout
    assert install("train") in done.stdout


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"winners": 14}, "TrainableDendriteLayer.winners: must be an integer in 1..13 (got 14)"),
        ({"segments": 0}, "TrainableDendriteLayer.segments: must be an integer in 1..2147483648 (got 0)"),
        ({"sparsity": 1.0}, "TrainableDendriteLayer.sparsity: must be >= 0 and < 1 (got 1.0)"),
        ({"sparsity": 0.95}, "TrainableDendriteLayer.sparsity: must leave a unit one of 7 inputs (got 0.95)"),
        ({"boost": float("inf")}, "TrainableDendriteLayer.boost: must be finite and >= 0 (got inf)"),
        ({"input_density": 0.0}, "TrainableDendriteLayer.input_density: must be > 0 and <= 1 (got 0.0)"),
    ],
)
def test_bad_settings_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(NeurosimInputError, match=re.escape(words)):
        TrainableDendriteLayer(**({"inputs": 7, "units": 13, "contexts": 3, "segments": 4, "winners": 5} | settings))


@pytest.mark.parametrize("size", ["units", "classes"])
def test_a_network_without_units_or_classes_is_refused(size: str) -> None:
    sizes = {"inputs": 7, "classes": 3, "contexts": 3, "segments": 2, "units": 13}
    for wrong in (0, 2.5):
        with pytest.raises(NeurosimInputError, match=rf"DendriteNetwork\.{size}: must be an integer in 1\.\."):
            DendriteNetwork(**{**sizes, size: wrong})


def test_prototypes_serve_as_contexts() -> None:
    tasks = [np.full((3, 7), t, np.float32) for t in range(3)]
    means = Prototypes.of(tasks).means
    module = TrainableDendriteLayer(inputs=7, units=13, contexts=7, segments=3, winners=2)
    assert module(torch.from_numpy(tasks[1]), torch.from_numpy(means[1])).shape == (3, 13)


@pytest.mark.slow
@pytest.mark.data
def test_the_benchmark_runs_on_real_digits(data_root: Path, capsys) -> None:
    """Two tasks, 2000 images of each: better than any half of the classes, and the first is not forgotten."""
    import dendrites

    dendrites.main([str(data_root / "MNIST"), "--train", "2000", "--units", "256", "--json"])
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    row = result["rows"][0]
    assert row["known"] > 0.6 and row["first_task_now"] > row["first_task_then"] - 0.15
    assert row["context_found"] > 0.99 and result["published"]["known"] == 0.975
    assert "published 0.975" in printed.err
