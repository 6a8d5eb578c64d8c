"""The small convolutional network beside a run: its frames, size, cost and answers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from helpers.bars import bars
from helpers.command import neurosim, result_of

from neurosim import Recordings, Spikes
from neurosim.app.report.sections import _baselines
from neurosim.app.runs import baselines, classifiers, frame_cnn
from neurosim.app.runs.frame.facts import Fact, Overview
from neurosim.app.runs.frame.facts import baselines as baseline_facts
from neurosim.app.runs.frame.kind import RunResult
from neurosim.app.runs.liquid.config import LiquidConfig
from neurosim.app.runs.memory.config import MemoryConfig
from neurosim.app.runs.memory.items import Raw, compare_items
from neurosim.app.runs.memory.result import MemoryResult
from neurosim.app.runs.score import FrameCNN

torch = pytest.importorskip("torch")
FEW = ("--set", "liquid.neurons=50", "--limit", "20", "--set", "data.train_limit=40", "--threads", "1")


def test_frames_of_a_camera_are_roots_of_counts_in_windows() -> None:
    recordings = bars(2)
    pictures = frame_cnn.frames(recordings)
    assert pictures.shape == (8, 3 * 2, 8, 8) and pictures.dtype == np.float32
    for picture, spikes in zip(pictures, recordings, strict=True):
        counts = np.zeros((3, 128))
        window = np.minimum(spikes.times * (3 / spikes.duration), 2).astype(int)
        np.add.at(counts, (window, spikes.units), 1)
        np.testing.assert_allclose(picture.reshape(3, 128), np.sqrt(counts), rtol=1e-6)


def test_large_sensors_are_pooled_and_a_cochlea_is_a_picture_over_time() -> None:
    wide = Spikes(np.array([0.01, 0.02, 0.09]), np.array([0, 1, 99 * 100 + 99]), 10_000, 0.1, (1, 100, 100))
    picture = frame_cnn.frames(Recordings.collect([wide]))[0]
    assert picture.shape == (3, 34, 34)
    assert (
        picture[0, 0, 0] == pytest.approx(np.sqrt(2))
        and picture[2, 33, 33] == 1
        and picture.sum() == pytest.approx(np.sqrt(2) + 1)
    )
    heard = Spikes(np.array([0.0, 0.0999]), np.array([3, 139]), 140, 0.1)
    picture = frame_cnn.frames(Recordings.collect([heard]))[0]
    assert picture.shape == (1, 24, 70) and picture[0, 0, 1] == 1 and picture[0, 23, 69] == 1


@pytest.mark.parametrize("shape", [(6, 34, 34), (6, 8, 8), (1, 24, 70), (3, 13, 40)])
def test_sizes_are_those_of_the_network(shape: tuple[int, ...]) -> None:
    for parameters in (1, 20_000, 10**9):
        sizes = frame_cnn._fitted(shape, 4, parameters)
        net = frame_cnn._network(sizes, shape, 4).eval()
        assert sum(p.numel() for p in net.parameters()) == sizes.parameters
        x = torch.zeros(1, *shape)
        work = 0
        for layer in net:
            x = layer(x)
            if hasattr(layer, "weight"):
                work += x.numel() * layer.weight[0].numel()
        assert work == sizes.multiply_accumulates
    assert abs(frame_cnn._fitted(shape, 4, 20_000).parameters / 20_000 - 1) < 0.2


def test_it_tells_bars_apart_and_gives_the_same_again() -> None:
    train = bars(20)
    test = bars(8, 700)
    state = torch.random.get_rng_state()
    made = frame_cnn.train_frame_cnn(train, test, 5_000, "horowitz45")
    assert made.accuracy is not None and made.accuracy > 0.8 and made.reason == ""
    assert made == frame_cnn.train_frame_cnn(train, test, 5_000, "horowitz45")
    assert torch.equal(torch.random.get_rng_state(), state)
    # A multiply-accumulate of 8 bits: .03 pJ to add and .2 pJ to multiply (Horowitz 2014); in float32 .9 and 3.7.
    assert made.energy_int8 == pytest.approx(made.multiply_accumulates * 0.23e-12)
    assert made.energy_fp32 == pytest.approx(made.multiply_accumulates * 4.6e-12)
    assert frame_cnn.train_frame_cnn(train, test, 5_000, "loihi").energy_int8 is None


def test_what_takes_long_or_needs_torch_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_cnn, "MAX_WORK", 1e6)
    made = frame_cnn.train_frame_cnn(bars(4), bars(2), 5_000, "horowitz45")
    assert made.accuracy is None and made.reason.startswith("not trained: ") and made.parameters
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert frame_cnn.train_frame_cnn(bars(4), bars(2), 5_000, "horowitz45").reason.startswith("needs torch")


def test_its_figures_are_a_row_of_the_table() -> None:
    cnn = FrameCNN(
        accuracy=0.975, parameters=121_000, multiply_accumulates=780_000, energy_int8=1.8e-7, energy_fp32=3.6e-6
    )
    text = " ".join(shown(*baseline_facts({}, cnn)).split())
    assert "A small CNN, on images 97.5 % (121,000 parameters, 780 k multiply-accumulates" in text
    assert "arithmetic 180 nJ int8, 3.60 \N{MICRO SIGN}J fp32 (estimate)" in text
    assert "needs torch" in shown(*baseline_facts({}, FrameCNN(reason="needs torch")))


def shown(*facts: Fact) -> str:
    return Overview(title="a run", lead=[], facts=facts).text(RunResult())


def test_settings_leave_it_out() -> None:
    config = LiquidConfig.configure(None, ("data.name=digits", "baselines.cnn=false"))
    without = baselines.measure_comparison(config, bars(4), bars(2), 5_000)
    assert without.cnn is None and tuple(without.baselines) == classifiers.NAMES


def test_a_run_has_one_beside_it(elsewhere: None) -> None:
    result = result_of("simulate", "digits", *FEW, "--out", "run")
    assert 0 <= result["cnn"]["accuracy"] <= 1 and result["cnn"]["multiply_accumulates"] > 0
    page = Path("run/report.html").read_text("utf-8")
    assert "small CNN on frames" in page and "MACs" in page
    assert "A small CNN, on frames" in neurosim("runs", "show", "run").stdout


def test_images_have_the_network_beside_them_too() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = rng.integers(0, 60, (60, 16, 16)).astype(np.uint8)
    # A bright row or a bright column.
    images[labels == 0, 8] = 255
    images[labels == 1, :, 8] = 255
    raw = Raw(images, labels, ("row", "column"), "train")
    config = MemoryConfig.configure(values={"data.name": "digits", "baselines.cnn": True})
    train = raw.select(np.arange(40))
    test = raw.select(np.arange(40, 60))
    found = compare_items(config, train, test, 10_000)
    assert found.baselines == {} and found.cnn is not None and found.cnn.accuracy == 1.0
    assert found.cnn.multiply_accumulates == frame_cnn._fitted((1, 16, 16), 2, 10_000).multiply_accumulates
    table = _baselines(MemoryResult(accuracy=0.9, cnn=found.cnn))
    assert table is not None and [row[0].split(",")[0] for row in table.rows] == ["this run", "small CNN on images"]
    without = MemoryConfig.configure(values={"data.name": "digits", "baselines.cnn": False})
    assert compare_items(without, train, test, 10_000).cnn is None
