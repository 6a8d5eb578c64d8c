"""Other simulators, called in the environment that `make peers` builds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PEERS_PYTHON = BENCHMARKS.parent / ".venv-peers" / "bin" / "python"


def call(command: list[str]) -> str:
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
