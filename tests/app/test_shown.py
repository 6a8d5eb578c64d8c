"""Objects print in one line, are a table in a notebook, and may be copied and pickled."""

from __future__ import annotations

import copy
import logging
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers.networks import recording, small

from neurosim import (
    LIF,
    STDP,
    FromList,
    Network,
    OneToOne,
    Population,
    Probe,
    Projection,
    Recordings,
    Simulation,
    Spikes,
    simulate,
)
from neurosim.app import RunFolder
from neurosim.base import bars
from neurosim.base.measure.profiles import PROFILES
from neurosim.base.shown import ITEMS, LINE, ROWS, VALUE, Shown, html_table, shorten
from neurosim.data import catalog
from neurosim.engine import energy, measure
from neurosim.engine.result import Result
from neurosim.learning import Items, Liquid, Problem, Readout
from neurosim.learning.continual.matrix import Matrix
from neurosim.memory import SDR, Hopfield, Macrocolumn, TemporalMemory
from neurosim.network import StepCurrent


def result(batch: bool = False) -> Result:
    one = recording()
    if batch:
        return simulate(small(), Recordings.collect([one, one]), seed=3)
    return simulate(small(), one, seed=3, probes=[Probe("exc", "v", 0.007)])


OBJECTS: dict[str, Callable[[], object]] = {
    "result": result,
    "batch": lambda: result(batch=True),
    "work": lambda: result().work,
    "measures": lambda: measure(result().work, 1, 0.1),
    "energy": lambda: energy(result().work, 1),
    "network": small,
    "population": lambda: small().populations[0],
    "projection": lambda: small().projections[0],
    "pattern": lambda: FromList(np.arange(1000), np.arange(1000)),
    "neuron": lambda: LIF(tau_mem=0.01),
    "rule": STDP,
    "spikes": recording,
    "recordings": lambda: catalog.load("digits", "test"),
    "connections": lambda: Simulation(small(), recording()).connections("exc->inh"),
    "profile": lambda: PROFILES["horowitz45"],
    "run folder": lambda: RunFolder(Path("runs/one")),
    "liquid": lambda: Liquid((2, 34, 34), neurons=50),
    "readout": lambda: Readout(kind="logistic"),
    "items": lambda: Items(np.zeros((30, 4, 50), np.uint8), np.zeros(30, np.int64)),
    "problem": lambda: Problem(4, 50, (0, 0, 1, 1), "class", 0),
    "matrix": lambda: Matrix(np.full((4, 3), 0.5)),
    "code": lambda: SDR.random(2048, 40, seed=0),
    "hopfield": lambda: Hopfield.store(np.where(np.eye(200) > 0, 1, -1)[:5]),
    "macrocolumn": lambda: Macrocolumn(256, modules=24, units=16),
    "temporal memory": lambda: TemporalMemory(columns=64, cells_per_column=4),
}


@pytest.fixture(scope="module")
def made() -> dict[str, object]:
    return {name: make() for name, make in OBJECTS.items()}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_prints_in_one_line(name: str, made: dict[str, object]) -> None:
    line = repr(made[name])
    assert "\n" not in line and len(line) <= LINE
    assert line.startswith(type(made[name]).__name__)


@pytest.mark.parametrize("name", [name for name in OBJECTS if name not in ("neuron", "rule", "code")])
def test_an_object_is_a_small_table_in_a_notebook(name: str, made: dict[str, object]) -> None:
    html = made[name]._repr_html_()  # type: ignore[attr-defined]
    table = ElementTree.fromstring(html)
    assert table.tag == "table" and len(table.findall("tr")) > 0
    assert len(html) < 10_000


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_may_be_copied_and_pickled_and_says_so(name: str, made: dict[str, object]) -> None:
    thing = made[name]
    line = repr(thing)
    for copied in (copy.copy(thing), copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):
        assert type(copied) is type(thing)
        # The work of a run is counted when it is copied.
        assert repr(copied) == line or name == "work"
    documents = [kind.__doc__ or "" for kind in type(thing).__mro__ if kind is not object]
    assert any("pickled" in text for text in documents), type(thing)


def test_a_pickled_result_has_the_spikes_samples_and_work(made: dict[str, object]) -> None:
    whole = made["result"]
    assert isinstance(whole, Result)
    other = pickle.loads(pickle.dumps(whole))
    assert {name: spikes.digest() for name, spikes in other.spikes.items()} == {
        name: spikes.digest() for name, spikes in whole.spikes.items()
    }
    assert np.array_equal(other.states["exc.v"], whole.states["exc.v"])
    assert list(other.work) == list(whole.work)


@dataclass(frozen=True)
class Thing(Shown):
    name: str
    values: np.ndarray
    parts: tuple[int, ...] = ()
    table: dict[str, float] = field(default_factory=dict)


def test_a_line_leaves_out_defaults_and_ends_where_it_is_long() -> None:
    assert repr(Thing("a", np.zeros((2, 3), np.float32))) == "Thing(name=a, values=float32 [2, 3])"
    long = repr(Thing("x" * 500, np.zeros(3), tuple(range(90)), {f"key {k}": 0.5 for k in range(60)}))
    assert ("[90 int]" in long and f"{60 - ITEMS} more" in long) or long.endswith("...)")
    assert len(long) <= LINE
    assert len(shorten("x" * 500)) == VALUE and shorten(np.float32(0.1)) == "0.1"


def test_a_table_escapes_text_and_says_how_much_follows() -> None:
    table = ElementTree.fromstring(html_table("<b>", {"<script>": "<i>", "inner": {"a": 1}}))
    assert table.findtext("caption") == "<b>" and table.find("tr/td/table/tr/th") is not None
    assert f"and {60 - ROWS} more" in html_table("", {str(k): k for k in range(60)})


def test_one_thing_is_named_in_the_singular() -> None:
    one = Spikes(np.array([0.1]), np.array([0]), 1, 0.5)
    assert repr(one) == "Spikes(1 event of 1 unit (1,), 0.5 s)"
    two = Spikes(np.array([0.1, 0.2]), np.array([0, 1]), 2, 0.5)
    assert repr(two) == "Spikes(2 events of 2 units (2,), 0.5 s)"
    assert repr(Recordings.collect([one])) == "Recordings(1 of 1 unit (1,), 1 event)"
    cell = Population("cell", 1, LIF())
    assert repr(Network([cell])) == "Network(1 unit; 1 population)"
    drive = StepCurrent("cell", [0.0], [1.0])
    loops = [Projection("cell", "cell", OneToOne(), 0.1, 1e-3, name=name) for name in "ab"]
    assert repr(Network([cell], loops, [drive])) == "Network(1 unit; 1 population, 2 projections, 1 stimulus)"


def test_what_is_done_is_logged_below_neurosim(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "neurosim"):
        catalog.load("digits", "test")
        result()
        result(batch=True)
    words = [(record.name, record.getMessage()) for record in caplog.records]
    assert all(name.startswith("neurosim.") for name, _ in words)
    said = " ".join(message for _, message in words)
    assert "digits, test: Recordings(300" in said and "built Network(61 units" in said
    assert "ran 2 recordings" in said


def test_a_notebook_shows_bars_and_a_file_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: False))
    bars.in_notebook.cache_clear()
    assert not bars.shows_bars()
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    bars.in_notebook.cache_clear()
    try:
        assert bars.shows_bars()
        # Without ipywidgets the bar is text, which notebooks show as well.
        monkeypatch.setattr(bars, "find_spec", lambda name: None)
        assert bars.bar_class().__module__ == "tqdm.std"
    finally:
        bars.in_notebook.cache_clear()
