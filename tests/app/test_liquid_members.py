"""Several liquids of one run: their scores are summed, their work is counted together, and each is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.command import neurosim
from helpers.results import untimed

from neurosim.app import RunOptions, open_run
from neurosim.app.live.models import LiveLiquid, LiveSum, open_model
from neurosim.app.runs import data
from neurosim.app.runs.frame.lifecycle import resume, start
from neurosim.app.runs.liquid import KIND, stages
from neurosim.app.runs.liquid.adapted import open_liquids
from neurosim.app.runs.liquid.config import LiquidConfig
from neurosim.app.runs.liquid.result import LiquidResult
from neurosim.base import NeurosimInterruptedError
from neurosim.data import catalog
from neurosim.learning import Liquid

SETS = ["data.train_limit=60", "data.limit=20", "liquid.neurons=60", "baselines.cnn=false"]


def run(out: Path, seed: int, members: int) -> LiquidResult:
    config = LiquidConfig.configure(sets=[*SETS, f"seed={seed}", f"members={members}"], values={"data.name": "digits"})
    result = start(KIND, config, RunOptions(out=out, threads=1, quiet=True))
    assert result is not None
    return result


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> LiquidResult:
    return run(tmp_path_factory.mktemp("members") / "two", 3, 2)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[LiquidResult]:
    folder = tmp_path_factory.mktemp("alone")
    return [run(folder / str(seed), seed, 1) for seed in (3, 4)]


def test_members_are_the_liquids_of_the_next_seeds(two: LiquidResult, alone: list[LiquidResult]) -> None:
    assert [(each.seed, each.accuracy) for each in two.members] == [(3, alone[0].accuracy), (4, alone[1].accuracy)]
    for first, single in zip(("", "-2"), alone, strict=True):
        for name in ("gains", "readout"):
            ours = Path(two.run) / f"{name}{first}.safetensors"
            assert ours.read_bytes() == (Path(single.run) / f"{name}.safetensors").read_bytes()
        assert not single.members and "Each liquid alone" not in KIND.render_text(single)


def test_scores_are_summed_and_work_is_counted_together(two: LiquidResult, alone: list[LiquidResult]) -> None:
    config, liquids = open_liquids(open_run(Path(two.run)))
    assert config.members == len(liquids) == 2
    test = data.load(config.data).test
    apart = [each.readout.scores(each.liquid.run(test, threads=1).recordings("liquid")) for each in liquids]
    answers = sum(apart).argmax(axis=1)
    assert two.accuracy == np.mean(answers == test.labels)
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (test.labels, answers), 1)
    assert np.array_equal(two.confusion, expected)
    assert two.measures is not None
    names = [layer.name for layer in two.measures.layers]
    assert names == ["liquid, member 1", "readout, member 1", "liquid, member 2", "readout, member 2"]
    singles = [layer for single in alone for layer in single.measures.layers]  # type: ignore[union-attr]
    for ours, theirs in zip(two.measures.layers, singles, strict=True):
        assert ours.synaptic_operations == theirs.synaptic_operations
    assert two.spikes == sum(single.spikes or 0 for single in alone)
    assert two.spike_digest not in {single.spike_digest for single in alone}
    assert two.energy is not None and two.energy.compute_only is not None
    ours = two.energy.compute_only.high
    assert ours == pytest.approx(sum(single.energy.compute_only.high for single in alone))  # type: ignore[union-attr]


def test_page_and_table_show_each_alone(two: LiquidResult) -> None:
    text = KIND.render_text(two)
    assert "through 120 spiking neurons" in text and "scores of 2 liquids summed" in text
    assert "Each liquid alone" in text
    page = (Path(two.run) / "report.html").read_text("utf-8")
    assert "Scores of 2 liquids are summed" in page and "Each liquid alone" in page


def test_live_answers_sum_the_scores(two: LiquidResult, alone: list[LiquidResult]) -> None:
    model = open_model(Path(two.run), threads=1)
    assert isinstance(model, LiveSum)
    singles = [open_model(Path(single.run), threads=1) for single in alone]
    assert all(isinstance(single, LiveLiquid) for single in singles)
    recording = catalog.load("digits", "test")[0]
    for begin in (0.0, 0.05):
        packet = recording.window(begin, begin + 0.05)
        assert np.array_equal(model.scores(packet), sum(single.scores(packet) for single in singles))


def test_an_interrupted_member_goes_on(two: LiquidResult, elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "MIN_SECONDS", 0.0)
    real = Liquid.run

    def stop(self: Liquid, *words: object, **more: object) -> object:
        if self.seed == 4:
            raise KeyboardInterrupt
        return real(self, *words, **more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, pytest.raises(NeurosimInterruptedError):
        patch.setattr(Liquid, "run", stop)
        run(Path("cut"), 3, 2)
    names = {path.name for path in Path("cut/stages").iterdir()}
    assert {"gains.safetensors", "gains-2.safetensors", "train-0.safetensors", "test-0.safetensors"} <= names
    again = resume(KIND, Path("cut"), RunOptions(threads=1, quiet=True))
    assert again is not None and untimed(again.to_dict()) == untimed(two.to_dict())
    assert not Path("cut/stages").exists()


def test_members_need_a_dataset(elsewhere: None) -> None:
    Path("net.toml").write_text('[[population]]\nname = "a"\nshape = 2\nmodel = "LIF"\n', "utf-8")
    line = neurosim("simulate", "--config", "net.toml", "--members", 2, expect=2)
    assert "--members: needs a DATASET" in line.stderr
