"""First runs of the embedded digits learn a part of them, and say so."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.command import neurosim, result_of

from neurosim.app.runs.frame.config import RunConfig
from neurosim.app.runs.liquid.config import LiquidConfig
from neurosim.app.runs.memory.config import MemoryConfig
from neurosim.app.runs.memory.episodes.config import EpisodesConfig
from neurosim.app.runs.train.config import TrainConfig
from neurosim.datasets import digits

LIMIT = 1000


@pytest.mark.parametrize("config", [TrainConfig, MemoryConfig])
def test_a_part_is_learned_unless_the_user_names_a_number(config: type[RunConfig]) -> None:
    first = config.configure(values={"data.name": "digits"})
    assert (first.data.train_limit, first.data.limit, first.baselines.cnn) == (LIMIT, None, False)
    assert first.part() == "1,000 of the 1,497 training recordings; all: --set data.train_limit=1497"
    whole = config.configure(None, [f"data.train_limit={digits.TRAIN}"], {"data.name": "digits"})
    assert whole.data.train_limit == digits.TRAIN and whole.part() == ""
    # Settings of digits for other recordings are those of the network alone.
    like = config.configure(None, ["data.like=digits"], {"data.name": "nmnist"})
    assert like.data.train_limit is None and like.baselines.cnn and like.part() == ""


@pytest.mark.parametrize("config", [LiquidConfig, EpisodesConfig])
def test_other_runs_take_all(config: type[RunConfig]) -> None:
    whole = config.configure(values={"data.name": "digits"})
    assert whole.data.train_limit is None and whole.baselines.cnn and whole.part() == ""


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_a_run_says_which_part_it_learned() -> None:
    small = ("--limit", "20", "--set", "sweep.points=1", "--set", "sweep.probes=20", "--set", "column.units=64")
    told = neurosim("memory", "store", "digits", *small, "--set", "baselines.cnn=false", "--out", "run")
    assert told.stderr.splitlines()[0].startswith("1,000 of the 1,497 training recordings; all: ")
    lead = " ".join(told.stdout.split())
    assert "1,000 of the 1,497 items in a macrocolumn" in lead
    assert "all with --set data.train_limit=1497 --set data.limit=300" in lead
    assert "1,000 of the 1,497 items" in Path("run/report.html").read_text("utf-8")
    few = result_of("memory", "store", "digits", *small, "--items", "60", "--out", "few")
    assert (few["stored"], few["train_size"], few["samples"], few["size"]) == (60, 1497, 20, 300)
