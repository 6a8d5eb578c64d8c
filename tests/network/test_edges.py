"""Tables of edges: units of ids against numpy, networks against the same in plain projections, wrong tables by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosim import LIF, FromList, Network, Population, Projection, Simulation, simulate
from neurosim.base import NeurosimInputError
from neurosim.kernels.engine.connect.ids.cpu import collect, find
from neurosim.kernels.engine.connect.ids.reference import number_ids_reference
from neurosim.network import IF, Activation, AlphaLIF, Edges, StepCurrent, read_edges

RANDOM = np.random.default_rng(5)
IDS = {
    "large": 720575940600000000 + 17 * RANDOM.permutation(300),
    "small": RANDOM.permutation(300),
    "negative": RANDOM.permutation(300) - 150,
    "bytes": RANDOM.permutation(200).astype(np.uint8),
    "texts": np.array([f"n{k}" for k in RANDOM.permutation(300)]),
    "objects": np.array([f"n{k}" for k in RANDOM.permutation(300)], object),
}


@pytest.mark.parametrize("name", IDS)
def test_units_are_places_among_the_ids(name: str) -> None:
    ids = IDS[name]
    pre = RANDOM.choice(ids, 2000)
    post = RANDOM.choice(ids[:-20], 2000)
    edges = Edges.between(pre, post, RANDOM.normal(size=2000))
    assert np.array_equal(edges.ids, np.unique(np.concatenate([pre, post]).astype(edges.ids.dtype)))
    assert (edges.ids[edges.pre] == pre).all() and (edges.ids[edges.post] == post).all()
    named = Edges.between(pre, post, ids=ids)
    assert np.array_equal(named.ids, ids.astype(named.ids.dtype))
    assert (named.ids[named.pre] == pre).all() and (named.ids[named.post] == post).all()


def test_ids_are_numbered_as_by_a_search() -> None:
    # Multiples of a power of two, which a poor hash would put into one entry.
    ids = np.concatenate([np.arange(500) << 40, np.array([-1, 2**63 - 1, -(2**63), 0])]).astype(np.int64)
    table = np.zeros(1 << 10, np.int32)
    distinct = np.empty(512, np.int64)
    count = collect(ids, distinct, 0, table, 10)
    sought = np.concatenate([ids, np.array([7, 8])])
    numbers = np.empty(len(sought), np.int32)
    find(sought, distinct, table, 10, numbers)
    expected_ids, expected = number_ids_reference(ids)
    assert np.array_equal(distinct[:count], expected_ids)
    assert np.array_equal(numbers[: len(ids)], expected) and numbers[len(ids) :].tolist() == [-1, -1]
    assert collect(np.arange(1000) + 1, distinct, count, table, 10) == -1


def network_by_hand(edges: Edges, model: Any) -> Network:
    pattern = FromList(edges.pre, edges.post)
    projection = Projection("neurons", "neurons", pattern, edges.weight, edges.delay)
    current = StepCurrent("neurons", np.zeros(1), np.array([2.0]), units=[0, 1, 2])
    return Network([Population("neurons", edges.size, model)], [projection], [current])


@pytest.mark.parametrize("model", [LIF(tau_mem=0.01), IF(r=20.0), AlphaLIF()])
def test_a_network_is_that_of_plain_projections(model: Any) -> None:
    ids = IDS["large"][:50]
    weight = RANDOM.normal(0.1, 0.3, 600)
    edges = Edges.between(RANDOM.choice(ids, 600), RANDOM.choice(ids, 600), weight, RANDOM.uniform(1e-3, 5e-3, 600))
    network = Network.from_edges(edges, model, activate=[Activation(edges.ids[:3], current=2.0)])
    own = simulate(network, 0.3, clock=1e-4).spikes["neurons"]
    assert len(own) > 50
    assert own.digest() == simulate(network_by_hand(edges, model), 0.3, clock=1e-4).spikes["neurons"].digest()


def chain(size: int = 6) -> Edges:
    """Neuron k excites k + 1, so strongly that every spike goes on."""
    ids = np.array([f"cell {k}" for k in range(size)])
    kinds = np.array(["first", *["other"] * (size - 1)])
    return Edges.between(ids[:-1], ids[1:], 5.0, 2e-3, ids=ids, columns={"kind": kinds, "number": np.arange(size)})


@pytest.mark.parametrize("chosen", [["cell 0"], ["kind=first"], ["number=0", "cell 0"]])
def test_activation_starts_a_chain(chosen: Sequence[str]) -> None:
    edges = chain()
    network = Network.from_edges(edges, LIF(tau_mem=0.005), activate=[Activation(chosen, rate=50.0, weight=5.0)])
    spikes = simulate(network, 1.0, clock=1e-3, seed=2).spikes["neurons"]
    counts = spikes.counts()
    assert 20 < counts[0] < 90 and np.ptp(counts) <= 2
    assert edges.units(["kind=other"]).tolist() == [1, 2, 3, 4, 5]


def test_a_trial_is_the_run_of_that_trial() -> None:
    network = Network.from_edges(chain(), LIF(), activate=[Activation(["cell 0"], rate=50.0, weight=5.0)])
    simulation = Simulation(network, clock=1e-3, seed=1)
    digests = []
    for trial in (0, 1, 3):
        alone = simulate(network, 1.0, clock=1e-3, seed=1, trial=trial).spikes["neurons"]
        again = simulation.with_trial(trial)
        # A trial leaves those after it as they are, whatever was run before.
        again.run(0.4)
        again.run(0.6)
        both = simulation.with_trial(trial).run(1.0).spikes["neurons"]
        assert both.digest() == alone.digest()
        digests.append(alone.digest())
    assert len(set(digests)) == 3
    assert simulation.step == 0
    simulation.set("neurons", {"tau_mem": 0.03})
    with pytest.raises(NeurosimInputError, match="must come before changes by set or rewire"):
        simulation.with_trial(1)


def test_a_table_is_read_with_its_scales(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("from,to,n,ms\n7,9,3,1.5\n9,7,-1,2\n\n")
    (tmp_path / "neurons.tsv").write_text("root\tside\n9\tL\n8\tR\n7\tL\n")
    edges = read_edges(
        tmp_path / "edges.csv",
        pre="from",
        post="to",
        weight="n",
        delay="ms",
        weight_scale=0.5,
        delay_scale=1e-3,
        neurons=tmp_path / "neurons.tsv",
        id="root",
    )
    assert edges.ids.tolist() == [9, 8, 7] and edges.pre.tolist() == [2, 0] and edges.post.tolist() == [0, 2]
    assert np.allclose(edges.weight, [1.5, -0.5]) and np.allclose(edges.delay, [1.5e-3, 2e-3])
    assert edges.units(["side=L", 8]).tolist() == [0, 1, 2]
    one = read_edges(tmp_path / "edges.csv", pre="from", post="to", weight=2.0)
    assert one.weight == 2.0 and one.delay == 1e-3 and one.ids.tolist() == [7, 9]


def test_ids_above_the_integers_are_texts(tmp_path: Path) -> None:
    high = 2**63 + 5
    (tmp_path / "edges.csv").write_text(f"pre,post,weight\n{high},{high + 1},3\n7,{high},1\n")
    edges = read_edges(tmp_path / "edges.csv")
    assert set(edges.ids) == {"7", str(high), str(high + 1)}
    pairs = [(edges.ids[a], edges.ids[b]) for a, b in zip(edges.pre, edges.post, strict=True)]
    assert pairs == [(str(high), str(high + 1)), ("7", str(high))]
    assert edges.ids[edges.units([high])].tolist() == [str(high)]


@pytest.mark.parametrize("parted", [",", ";", "\t"])
def test_tables_of_spreadsheets(parted: str, tmp_path: Path) -> None:
    """A mark of the encoding, tabs or semicolons, and ids that became floats."""
    text = "\ufeffpre,post,weight\r\n7.0,9,3\r\n9.0,7,1\r\n"
    (tmp_path / "edges.csv").write_text(text.replace(",", parted))
    edges = read_edges(tmp_path / "edges.csv")
    assert edges.ids.tolist() == [7, 9] and edges.ids.dtype == np.int64 and np.allclose(edges.weight, [3, 1])
    (tmp_path / "edges.csv").write_text("pre;post;weight\n7;9;3,5\n")
    with pytest.raises(NeurosimInputError, match=r"column weight: must be numbers \(got 3,5\)"):
        read_edges(tmp_path / "edges.csv")


def test_neurons_with_empty_properties_are_chosen(tmp_path: Path) -> None:
    """Tables of real neurons lack a type here and there; numbers are compared as numbers."""
    (tmp_path / "edges.csv").write_text("pre,post,weight\n7,9,3\n")
    rows = ["7,sugar,1.0,true,", "8,,,false,720575940600000017", "9,MN9,2.5,true,720575940600000018"]
    (tmp_path / "neurons.csv").write_text("\n".join(["id,type,size,left,root", *rows]))
    edges = read_edges(tmp_path / "edges.csv", neurons=tmp_path / "neurons.csv")
    chosen = {"type=sugar": [0], "type=": [1], "size=1": [0], "size=2.50": [2]}
    chosen |= {"left=true": [0, 2], "root=720575940600000018": [2]}
    for text, units in chosen.items():
        assert edges.units([text]).tolist() == units, text
    flags = Edges.between(ONE, ONE, ids=ONE, columns={"flag": np.array([True, False])})
    assert flags.units(["flag=true"]).tolist() == [0] and flags.units(["flag=False"]).tolist() == [1]
    for text in ("size=3", "size=big", "root=720575940600000019"):
        with pytest.raises(NeurosimInputError, match="must be a value of this column, such as"):
            edges.units([text])


def test_columns_that_are_absent_are_named_with_their_setting(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("from,to,n\n7,9,3\n")
    (tmp_path / "index.csv").write_text(",kind\n7,a\n9,b\n")
    with pytest.raises(NeurosimInputError, match=r"column of edges\.pre: unknown name 'pre'; choose from from, n, to"):
        read_edges(tmp_path / "edges.csv")
    names = {"pre": "from", "post": "to", "weight": "n"}
    with pytest.raises(NeurosimInputError, match=r"column of edges\.id: unknown name 'id'; .*choose from '', kind"):
        read_edges(tmp_path / "edges.csv", neurons=tmp_path / "index.csv", **names)
    assert read_edges(tmp_path / "edges.csv", neurons=tmp_path / "index.csv", id="", **names).ids.tolist() == [7, 9]


ONE = np.array([1, 2])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Edges.between(ONE, ONE, ids=np.array([1, 1])), "Edges.ids: must all be different"),
        (lambda: Edges.between(ONE, ONE, ids=np.array(["1", "1"])), "Edges.ids: must all be different"),
        (lambda: Edges.between(ONE, ONE, ids=np.array([1])), "Edges.pre: must be ids of the table of neurons (got 2"),
        (lambda: Edges.between(ONE, ONE + 0.5), "Edges.post: must be a vector of integers or texts"),
        (lambda: Edges.between(ONE, ONE * 7.2e17), "does not hold all digits of ids beyond 2^53); write the column as"),
        (lambda: Edges.between(ONE, ONE[:1]), "Edges.post: must hold 2 units (got 1)"),
        (lambda: Edges(ONE, np.array([-1, 0]), ONE - 1), "Edges.pre: must be units from 0 to 1 (got -1)"),
        (lambda: Edges.between(ONE, ONE, np.ones(3)), "Edges.weight: must be a number or hold 2"),
        (lambda: Edges.between(ONE, ONE, np.array(["a", "b"])), "Edges.weight: must be numbers"),
        (lambda: chain().units(["cell 9"]), "Edges.units: must be the id of a neuron, or COLUMN=VALUE (got 'cell 9')"),
        (
            lambda: chain().units(["kind=last"]),
            "Edges.units: kind: must be a value of this column, such as first, other (got last)",
        ),
        (lambda: chain().units(["side=L"]), "Edges.units: column: unknown name 'side'"),
        (lambda: Network.from_edges(chain(), LIF(), receptor="nothing"), "receptor: unknown name 'nothing'"),
    ],
)
def test_tables_of_edges_that_make_no_network_are_named(make: Any, words: str) -> None:
    with pytest.raises(NeurosimInputError, match=re.escape(words)):
        make()
