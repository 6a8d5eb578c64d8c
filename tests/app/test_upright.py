"""Recordings of a DVS128, whose row 0 is at the bottom of the picture, stand upright on every page."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from helpers.command import neurosim
from numpy.typing import NDArray

from neurosim.base.json_toml import read_json
from neurosim.data.files.arrays import read_arrays

HEAD = b"#!AER-DAT2.0\r\n# AEChip: DVS128\r\n"
HIGH = 120  # row of all events, near the top of the picture
SMALL = ("--set", "liquid.neurons=60", "--threads", "1", "--quiet")
FEW = ("--set", "code.size=256", "--set", "code.active=12", "--set", "column.units=16", "--set", "sweep.repeats=1")


def write_aedat(path: Path, seed: int) -> Path:
    """Write events of row `HIGH` at random columns."""
    rng = np.random.default_rng(seed)
    address = HIGH << 8 | rng.integers(0, 1 << 8, 200)
    times = np.sort(rng.integers(0, 100_000, 200))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(HEAD + np.stack([address, times], axis=1).astype(">u4").tobytes())
    return path


@pytest.fixture
def folder(tmp_path: Path, elsewhere: None) -> Path:
    for number in range(12):
        write_aedat(tmp_path / "own" / ("left", "right")[number % 2] / f"{number}.aedat", number)
    return tmp_path / "own"


def pictures(page: Path) -> list[NDArray[np.uint8]]:
    """Return the opacities [height, width] of the pictures of a sensor of 128 rows on a page."""
    image = pytest.importorskip("PIL.Image")
    coded = re.findall(r'<img src="data:image/png;base64,([^"]+)', page.read_text())
    found = [np.asarray(image.open(io.BytesIO(base64.b64decode(each))))[..., 3] for each in coded]
    return [each for each in found if each.shape[0] == 128]


def assert_upright(page: Path) -> None:
    shown = pictures(page)
    assert shown
    assert all(np.flatnonzero(each.any(axis=1)).tolist() in ([], [127 - HIGH]) for each in shown)
    assert any(each.any() for each in shown)


def test_a_folder_on_the_page_of_a_liquid_and_in_view(folder: Path) -> None:
    neurosim("simulate", folder, *SMALL, "--out", "run")
    assert read_json(Path("run/metrics.json"))["row_0"] == "bottom"
    assert_upright(Path("run/report.html"))
    neurosim("view", "run", "--out", "seen", "--quiet")
    assert_upright(next(Path("seen").glob("*.html")))


def test_a_folder_among_the_items_of_a_memory(folder: Path) -> None:
    neurosim("memory", "store", folder, *FEW, "--threads", "1", "--quiet", "--out", "run")
    shown = read_arrays(Path("run/pictures.safetensors"))["shown_inputs"]
    assert shown.shape[1:] == (128, 128)
    assert np.flatnonzero(shown.any(axis=(0, 2))).tolist() == [127 - HIGH]


def test_a_file_on_the_page_of_a_network(elsewhere: None) -> None:
    write_aedat(Path("a.aedat"), 0)
    camera = {"name": "camera", "shape": [2, 128, 128], "model": "SpikeSource", "spikes": "a.aedat"}
    Path("net.toml").write_text(tomli_w.dumps({"population": [camera]}))
    neurosim("simulate", "--config", "net.toml", "--out", "run", "--quiet")
    assert read_json(Path("run/manifest.json"))["data"]["camera"]["row_0"] == "bottom"
    assert_upright(Path("run/report.html"))
    neurosim("view", "run", "--out", "seen", "--quiet")
    assert_upright(next(Path("seen").glob("*.html")))
