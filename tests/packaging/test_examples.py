"""Every example is short, runs and prints a result; `make docs` runs those that draw a picture for the gallery."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.docs_tools import ROOT, load_tool

gallery = load_tool("gallery")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
CASES = [pytest.param(path, id=path.stem) for path in EXAMPLES if path.stem not in gallery.examples()]


def test_examples_are_short() -> None:
    assert [path.name for path in EXAMPLES if len(path.read_text().splitlines()) > 70] == []


def test_an_example_runs_in_this_process(capsys: pytest.CaptureFixture[str], elsewhere: None) -> None:
    runpy.run_path(str(ROOT / "examples" / "03_sdr.py"), run_name="__main__")
    assert "matches with chance" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("path", CASES)
def test_an_example_without_a_picture_runs(path: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, path], check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
