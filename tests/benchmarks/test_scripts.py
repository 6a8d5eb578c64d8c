"""Every script of the benchmarks can be imported, and says its options."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    try:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="imported")
    except ModuleNotFoundError as error:
        # A library to compare with.
        if (error.name or "").split(".")[0] in {"neurosim", *SCRIPTS}:
            raise
        pytest.skip(f"{error.name} is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCRIPTS if "argparse" in (BENCHMARKS / f"{name}.py").read_text()])
def test_a_script_says_its_options(name: str) -> None:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
