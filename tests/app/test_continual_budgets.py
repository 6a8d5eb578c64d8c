"""Budgets of a continual run: equal passes where none are given, and one pass online."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
from helpers.command import result_of

from neurosim.app.runs.continual.config import EPOCHS, configure

NAMES = ("plain", "replay", "hlop", "dendrites", "projected", "macrocolumn")


def epochs(*sets: str, names: tuple[str, ...] = NAMES) -> dict[str, object]:
    config = configure(None, sets, {}, names)
    return {row.name: row.settings.get("epochs") for row in config.rows}


def test_learners_get_the_same_passes() -> None:
    found = epochs()
    assert found.pop("macrocolumn") is None  # each item once is what it is
    assert set(found.values()) == {EPOCHS}
    assert set(epochs("common.epochs=3").values()) == {3, None}
    assert epochs("learners.hlop.epochs=1")["hlop"] == 1


def test_online_every_item_is_met_once() -> None:
    assert set(epochs("online=true", "common.epochs=3", "learners.hlop.epochs=2").values()) == {1, None}
    assert configure(None, ("online=true",), {}, NAMES).tree()["online"] is True


def test_joint_training_has_its_own_budget() -> None:
    """A reference that stops with the learners would flatter them."""
    names = ("plain", "joint")
    for sets in ((), ("common.epochs=3",), ("online=true",)):
        assert epochs(*sets, names=names)["joint"] == 40
    assert epochs("learners.joint.epochs=7", "common.epochs=3", names=names) == {"plain": 3, "joint": 7}
    shared = configure(None, ("common.hidden=[30]", "common.batch=8"), {}, names)
    assert all(row.settings["hidden"] == (30,) and row.settings["batch"] == 8 for row in shared.rows)


@pytest.mark.usefixtures("elsewhere")
def test_a_blurred_online_run() -> None:
    words = ["stream.kind=split", "stream.blur=0.2", "stream.train_limit=40", "stream.test_limit=20", "online=true"]
    words += ["learners.plain.hidden=[20]", "learners.plain.steps=2", "stream.validation_limit=10"]
    sets = [word for each in words for word in ("--set", each)]
    found = result_of("continual", "run", *sets, "--learner", "plain", "--out", "run")
    row = found["rows"][0]
    assert row["stream"]["blur"] == 0.2 and row["settings"]["epochs"] == 1
    # One step for each batch of 32 of 40 items, and as many weights moved in every task.
    assert len({work["updates"] for work in row["work"]}) == 1
