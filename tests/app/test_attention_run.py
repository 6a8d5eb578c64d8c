"""`neurosim attention TASK` from the command to the files: scores of kinds, pages, refusals, and kills."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers import command
from helpers.command import neurosim

from neurosim.app.runs.attention import page
from neurosim.app.runs.attention.config import AttentionConfig, ProbeSettings
from neurosim.app.runs.attention.overview import overview_of
from neurosim.app.runs.attention.result import AttentionResult, KindResult, ReferenceResult, TrainedProbe
from neurosim.app.runs.frame.folder import RunFolder
from neurosim.base.json_toml import read_json

pytest.importorskip("torch")
BRIEF = [
    *("--set", "task.options.trained=[1,6]", "--set", "task.options.sizes=[3,6]", "--set", "model.width=16", "--set"),
    *(
        "training.tokens=64",
        "--set",
        "model.options.window.num_heads=2",
        "--set",
        "model.options.deltanet.num_heads=2",
        "--quiet",
    ),
]
found = partial(command.result_of, "attention")
refused = partial(command.refused, "attention")
pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture(scope="module", autouse=True)
def few_tested() -> Iterator[None]:
    """Score models on 512 tokens of a size; on those of a run, scores take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurosim.language.attention.probe.TEST_TOKENS", 512)
        yield


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("compared") / "run"
    words = ["--kinds", "deltanet, deltanet+window", "--seeds", "2", "--steps", "50"]
    return command.result_of("attention", "recall", *words, *BRIEF, "--out", out)


def test_a_run_compares_kinds(compared: dict[str, Any]) -> None:
    run = Path(compared["run"])
    assert {p.name for p in run.iterdir()} == {"manifest.json", "config.toml", "metrics.json", "report.html"}
    assert read_json(run / "metrics.json") == compared
    one, hybrid = compared["kinds"]
    assert (one["name"], hybrid["name"]) == ("deltanet", "deltanet+window")
    assert hybrid["layers"] == ["deltanet", "window"] and compared["sizes"] == [3, 6]
    assert [model["seed"] for model in one["models"]] == [0, 1]
    assert one["models"][0]["scores"] != one["models"][1]["scores"] and len(one["models"][0]["losses"]) == 2
    assert one["models"][0]["losses"][1] < one["models"][0]["losses"][0]
    # Two heads of 8 x 8 and three tails of three tokens of 16 channels; the window adds 12 keys and values, a position.
    assert one["state_bytes"] == 4 * (2 * 64 + 3 * 3 * 16)
    assert hybrid["state_bytes"] == one["state_bytes"] + 4 * 12 * 32 + 8


def test_page_table_and_settings(compared: dict[str, Any]) -> None:
    run = Path(compared["run"])
    page = (run / "report.html").read_text()
    assert "Attention kinds: recall" in page and "Accuracy against pairs" in page and "bytes of state" in page
    neurosim("report", run)
    assert (run / "report.html").read_text() == page
    told = neurosim("attention", "parity", "--kinds", "gla", "--seeds", "1", "--steps", "2", *BRIEF).stdout
    assert "Attention kinds: parity" in told and "Accuracy by tokens" in told and "guessing scores 0.5" in told


def test_refusals(compared: dict[str, Any]) -> None:
    assert "task.name: unknown name 'recal'; did you mean 'recall'" in refused("recal")
    assert "model.kinds: unknown name 'deltanett'; did you mean 'deltanet'" in refused("--kinds", "gla,deltanett")
    assert "model.options: unknown name 'glaa'" in refused("--set", "model.options.glaa.num_heads=2")
    assert "gla option: unknown name 'headz'" in refused("--kinds", "gla", "--set", "model.options.gla.headz=2")
    assert "task.options" in refused("recall", "--set", "task.options.pears=3")
    assert "RecallTask.sizes: must be 1 to 256 pairs each" in refused("recall", "--set", "task.options.sizes=[999]")
    assert "there is nothing to resume" in refused("--resume", compared["run"])
    assert "cannot be combined" in refused("--resume", compared["run"], "recall")


def test_options_of_a_preset_give_way_to_those_of_its_kinds() -> None:
    config = AttentionConfig(model=ProbeSettings(kinds=("based",), options={"window": {"window_size": 8}}))
    linear, window = config.layers("based")
    assert window.options == {"window_size": 8} and linear.options["feature_map"] == "based"


def test_known_algorithms_are_rows_and_lines(tmp_path: Path) -> None:
    kind = KindResult(name="gla", models=(TrainedProbe(scores=(0.5, 0.4), losses=(1.0,)),))
    known = (ReferenceResult(name="least squares", scores=(0.2, 0.1)),)
    result = AttentionResult(
        task="regression", measure="error", sizes=(8, 16), trained=(2, 8), kinds=(kind,), references=known
    )
    assert overview_of(result).tables["scores"].rows[-1] == ("least squares", "0.200", "0.100", "", "", "")
    drawn = page.fill(RunFolder(tmp_path), result)["figures"][0][0]
    assert "least squares" in drawn and drawn.count("<polyline") == 2
    assert AttentionResult.from_dict(result.to_dict()).references == known
