"""The benchmarks of sparse codes and associative memories run, and their tables hold together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(name: str, *words: str) -> dict[str, Any]:
    command = [sys.executable, str(BENCHMARKS / name), "--json", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_overlaps_by_rows_and_by_columns_beside_the_dense_product() -> None:
    (row,) = run("sdr.py", "--bank", "20000", "--repeats", "3", "--threads", "1")["rows"]
    packed, columns = (row[f"{way}_1"]["bytes_per_s"] * row[f"{way}_1"]["seconds"] for way in ("packed", "columns"))
    # 256 bytes an SDR; or a bit for each of 40 active inputs, and a count of 4 bytes.
    assert packed == pytest.approx(20_000 * 256) and columns == pytest.approx(20_000 * (40 / 8 + 4), rel=0.01)
    assert row["numpy_int32_1"]["times_packed"] == pytest.approx(
        row["numpy_int32_1"]["seconds"] / row["packed_1"]["seconds"]
    )
    assert row["packed_1"]["of_bandwidth"] == pytest.approx(
        row["packed_1"]["bytes_per_s"] / row["packed_1"]["memory_bytes_per_s"]
    )


def test_associative_memories_lie_near_their_theory() -> None:
    found = run("associative.py", "--seeds", "2")
    assert found["alpha_c"] == pytest.approx(0.137906, abs=1e-6)
    rows = {row["what"]: row for row in found["rows"]}
    assert len(rows) == len(found["rows"]) > 50
    exact = [row for what, row in rows.items() if what.startswith(("Hebbian, 32 orth", "delta, 32 orth"))]
    assert len(exact) == 2 and all(row["simulated"] == pytest.approx(0, abs=1e-12) == row["theory"] for row in exact)
    for what in ("overlap at K/N = 0.05, N=2000", "overlap at K/N = 0.1, N=2000", "gradient, r=0.1"):
        assert rows[what]["simulated"] == pytest.approx(rows[what]["theory"], abs=0.01)
