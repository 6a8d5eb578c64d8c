"""The load on a server runs, and finds nothing lost or mixed up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "serve.py"
pytest.importorskip("torch")
pytest.importorskip("uvicorn")
pytestmark = pytest.mark.slow


def test_clients_side_by_side() -> None:
    words = ["--json", "--clients", "1", "5", "--seconds", "4", "--tokens", "8", "--layers", "1", "--width", "64"]
    done = subprocess.run([sys.executable, str(BENCHMARK), *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row["clients"] for row in rows] == [1, 5]
    for row in rows:
        assert row["texts"] > 0
        assert (row["failed"], row["differ"], row["still active"]) == ([], 0, 0)
        assert 0 < row["first part, s"] <= row["first part, 95 %"]
        assert row["tokens/s stepped"] > row["tokens/s written"] > 0
