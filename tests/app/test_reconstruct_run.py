"""`neurosim reconstruct`: from a table to the network, its distances, its regions and the page."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import command

from neurosim.app.runs.reconstruct import page
from neurosim.app.runs.reconstruct.overview import overview_of
from neurosim.app.runs.reconstruct.result import ReconstructResult
from neurosim.learning.training.reconstruction import AlmostLinearNetwork

refused = partial(command.refused, "reconstruct")
SMALL = ("--updates", "40", "--set", "network.units=6", "--set", "network.rectified=1", "--set", "network.length=20")


@pytest.fixture
def wave(elsewhere: None) -> str:
    """A table of a turning pointer, with a column that is no part of it."""
    turn = 0.1 * np.arange(1100)
    rows = [f"{t},{np.cos(a):.6f},{np.sin(a):.6f},{t % 7}" for t, a in enumerate(turn)]
    Path("wave.csv").write_text("time,east,north,day\n" + "\n".join(rows))
    return "wave.csv"


def test_a_table_is_reconstructed_and_shown(wave: str) -> None:
    words = (wave, "--column", "east", "--column", "north", *SMALL)
    result = command.result_of("reconstruct", *words, "--no-refine", "--out", "a")
    assert (result["kind"], result["steps"], result["compared"], result["generations"]) == ("reconstruct", 550, 550, 0)
    assert result["names"] == ["east", "north"] and sum(result["visits"]) == pytest.approx(1)
    # Two parts of a turning pointer are alike.
    assert result["same_d_h"] < 0.05 and result["d_h"] > result["same_d_h"]
    network = AlmostLinearNetwork.load("a/network.safetensors")
    assert (network.observed, network.rectified, len(network.a)) == (2, 1, 6)
    html = Path("a/report.html").read_text()
    assert "north against east" in html and "graph of" in html
    refined = command.result_of(
        "reconstruct", *words, "--set", "refinement.updates=20", "--set", "refinement.generations=1",
        "--set", "refinement.length=20", "--set", "refinement.steps=500", "--out", "b",
    )  # fmt: skip
    assert refined["generations"] == 1
    assert not np.allclose(AlmostLinearNetwork.load("b/network.safetensors").w, network.w, atol=1e-3)


def test_what_cannot_be_reconstructed_is_refused(wave: str) -> None:
    assert refused("none.csv") == "neurosim: none.csv: no such file; give a table such as pendulum.csv, or lorenz63"
    assert "system.train: must leave 500 steps to both parts" in refused(wave, "--set", "system.train=0.9")
    assert "system.columns: belongs to a table, and lorenz63 is computed" in refused("lorenz63", "--column", "x")
    assert "'nothing'" in refused(wave, "--column", "nothing")


def test_regions_are_named_and_their_graph_is_drawn(tmp_path: Path) -> None:
    result = ReconstructResult(
        dataset="two wings",
        rectified=2,
        names=("x", "z"),
        visits=(0.5, 0.3, 0.2, 0.0),
        transitions=((0.9, 0.1, 0.0, 0.0), (0.2, 0.8, 0.0, 0.0), (0.5, 0.0, 0.5, 0.0), (0.0, 0.0, 0.0, 0.0)),
    )
    assert [result.symbol(region) for region in result.regions] == ["--", "+-", "-+"]
    rows = overview_of(result).tables["regions"].rows
    assert rows[1] == ("+-", "0.3", "0.2", "0.8", "0")
    ((drawn, _),) = page.fill(SimpleNamespace(path=tmp_path), result)["graph"]
    # Three regions, and three ways between them.
    assert drawn.count("<circle") == 3 and drawn.count("<polygon") == 3 and "+-: 0.300" in drawn
    assert page.fill(SimpleNamespace(path=tmp_path), result)["orbits"] == []
