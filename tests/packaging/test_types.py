"""Programs of users pass a type checker that is strict."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What comes out has the form of what goes in.
FORMS = """
from typing import Any

from numpy.typing import NDArray

from neurosim import LIF, Network, Population, Probe, Recordings, Simulation, Spikes, simulate

def of_one(network: Network) -> NDArray[Any]:
    result = simulate(network, 0.1, probes=[Probe("cells", "v")])
    spikes: Spikes = result.spikes["cells"]
    print(spikes.times, Simulation(network).run(0.1).spikes["cells"].times)
    return result.states["cells.v"]

def of_many(network: Network, recordings: Recordings) -> list[NDArray[Any]]:
    result = simulate(network, {"input": recordings}, clock=1e-4)
    several: Recordings = result.spikes["cells"]
    print(several.labels)
    return result.states["cells.v"]

print(of_one(Network([Population("cells", 3, LIF(tau_mem=0.02))])).shape)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README", "forms"])
def test_a_program_of_a_user_passes_mypy_strict(name: str, tmp_path: Path) -> None:
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    text = "\n".join(programs) if name == "README" else FORMS
    (tmp_path / "program.py").write_text(text)
    cache = str(ROOT / ".mypy_cache" / "users")
    options = ["--strict", "--follow-imports", "silent", "--config-file", "", "--cache-dir", cache]
    command = [sys.executable, "-m", "mypy", *options, "program.py"]
    environment = {"PATH": "", "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
