"""Every example runs, is short, and prints a result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


# The sample of the quick run.
QUICK = {"03_sdr"}
CASES = [pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else [pytest.mark.slow]) for path in EXAMPLES]


@pytest.mark.parametrize("path", CASES)
def test_example(path: Path, tmp_path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 70
    done = subprocess.run([sys.executable, path], check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    for picture in tmp_path.glob("*.svg"):
        assert ElementTree.parse(picture).getroot().tag.endswith("svg"), picture
