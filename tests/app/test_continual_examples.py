"""Examples of continual experiments: each runs, small, with every learner, and on its real data."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import command
from helpers.digits import write_few

pytest.importorskip("torch")
EXAMPLES = Path(__file__).parents[2] / "examples" / "continual"
ran = partial(command.result_of, "continual")
pytestmark = pytest.mark.usefixtures("elsewhere")


def few(name: str) -> list[str]:
    """Return the settings of a small example: a few embedded items, and nets to match."""
    source = {
        "mixed": ['stream.sources=["digits", "digits-events"]', "stream.windows=4"],
        "spoken": ["stream.source=digits-events", "stream.windows=4"],
    }.get(name, ["stream.source=digits"])
    limits = ["stream.train_limit=40", "stream.validation_limit=10", "stream.test_limit=20"]
    shorter = {"permuted": ["stream.tasks=2"], "rotated": ["stream.angles=[0, 90]"]}
    if name in ("split", "spoken"):
        groups = ["stream.groups=[[0, 1], [2, 3]]"]
    else:
        groups = shorter.get(name, [])
    nets = [f"learners.{n}.hidden=[16]" for n in ("plain", "joint", "replay", "ewc", "si", "hlop")]
    nets += [f"learners.{n}.epochs=1" for n in ("plain", "joint", "replay", "ewc", "si", "hlop", "dendrites")]
    others = ["ewc.samples=5", "replay.memory=20", "dendrites.units=40", "liquid.neurons=40", "liquid.windows=2"]
    others += ["projected.neurons=40", "projected.windows=2"]
    others += ["projected.shape=[8, 8]", "liquid.shape=[8, 8]"] if name == "split" else []
    others.append("macrocolumn.units=32")
    if name in ("split", "rotated"):
        others += ["macrocolumn.shape=[8, 8]", "macrocolumn.side=3"]
    else:
        others += ["macrocolumn.columns=6", "macrocolumn.field=16"]
    return [*source, *limits, *groups, *nets, *(f"learners.{setting}" for setting in others)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["permuted", "rotated", "split", "mixed", "spoken"])
def test_an_example_runs_small_with_every_learner(
    name: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in ("mixed", "spoken"):
        write_few(tmp_path_factory.mktemp("few"), monkeypatch)
    words = [word for setting in few(name) for word in ("--set", setting)]
    found = ran("run", EXAMPLES / f"{name}.toml", *words)
    assert len(found["rows"]) == (13 if name in ("permuted", "mixed") else 15) and not found["failures"]
    assert all(np.array(row["matrices"]).shape == (1, 3, 2) for row in found["rows"])
    # Together they learn something.
    assert max(row["measures"]["acc"]["mean"] for row in found["rows"]) > 0.4


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", ["permuted", "rotated", "split", "mixed", "spoken"])
def test_an_example_runs_on_its_real_data(name: str, data_root: Path) -> None:
    limits = ["stream.train_limit=100", "stream.validation_limit=10", "stream.test_limit=20"]
    small = [*limits, "learners.macrocolumn.units=64"]
    if name not in ("rotated", "split"):
        small.append("learners.macrocolumn.columns=8")
    words = [word for setting in small for word in ("--set", setting)]
    if name == "permuted":
        words += ["--set", "stream.tasks=2"]
    found = ran("run", EXAMPLES / f"{name}.toml", *words, "--learner", "macrocolumn", "--learner", "plain")
    assert [row["name"] for row in found["rows"]] == ["macrocolumn", "plain"] and not found["failures"]
