"""Programs of users pass a type checker that is strict."""

from __future__ import annotations

import json
import re
import shutil
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

# A parameter is a number, a vector or a distribution; numbers are read.
NEURONS = """
import numpy as np

from neurosim import LIF, Normal
from neurosim.network.neurons.current import CubaLIF

tau: float = LIF(tau_mem=0.02).tau_mem
cells = [LIF(tau_mem=np.full(3, 0.02), v_threshold=Normal(1.0, 0.1)), CubaLIF(tau_syn_inhibitory=None)]
"""
# What the pages say, with the annotations that a strict checker asks for.
OWN = """
from dataclasses import dataclass
from typing import Any

from neurosim import Network, Population
from neurosim.data import catalog
from neurosim.learning import split
from neurosim.network import Neuron, Uniform, at, check_neuron, equations
from neurosim.network.plasticity.equations import synapse_equations

@dataclass(frozen=True)
class Leaky(Neuron):
    tau_mem: Any = 0.02
    state = ("v",)
    receptors = ("input",)

    def initial(self) -> tuple[float, ...]:
        return (0.0,)

    def constants(self, dt: float) -> tuple[float, ...]:
        return (dt / self.tau_mem,)

    @staticmethod
    def step(state: Any, inputs: Any, c: Any, spiked: Any) -> None:
        for i in range(spiked.size):
            state[0][i] += inputs[0][i] - at(c[0], i) * state[0][i]
            spiked[i] = state[0][i] > 1

check_neuron(Leaky())
Written = equations("dv/dt = -v / tau : 1", threshold="v > 1", reset="v = 0", parameters={"tau": 0.02})
print(Written.source)
Network([Population("own", 5, Leaky(tau_mem=Uniform(0.01, 0.03))), Population("text", 5, Written(tau=0.03))])
Rule = synapse_equations("x : 1", parameters={"top": 1.0})
print(Rule.source, Rule(top=2.0))
learn, stop = split(catalog.load("digits", "train").labels, 0.1, seed=0)
"""
NO_NEURON = """
from neurosim import LIF

LIF(tau_mem="fast")
"""


def texts() -> dict[str, str]:
    """Return all programs by their names."""
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return {"README": "\n".join(programs), "forms": FORMS, "neurons": NEURONS, "own": OWN, "no_neuron": NO_NEURON}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of all programs."""
    folder = tmp_path_factory.mktemp("programs")
    for name, text in texts().items():
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.fixture(scope="module")
def said(folder: Path) -> str:
    """Return what mypy says of all programs, in one run: reading the package takes most of its time."""
    cache = str(ROOT / ".mypy_cache" / "users")
    options = ["--strict", "--follow-imports", "silent", "--config-file", "", "--cache-dir", cache]
    command = [sys.executable, "-m", "mypy", *options, *(f"{name}.py" for name in texts())]
    environment = {"PATH": "", "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
    assert f"(checked {len(texts())} source files)" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README", "forms", "neurons", "own"])
def test_a_program_of_a_user_passes_mypy_strict(name: str, said: str) -> None:
    assert [line for line in said.splitlines() if line.startswith(f"{name}.py:")] == []


@pytest.mark.slow
def test_mypy_refuses_a_parameter_that_is_no_number(said: str) -> None:
    (line,) = (line for line in said.splitlines() if line.startswith("no_neuron.py:"))
    assert 'Argument "tau_mem" to "LIF" has incompatible type "str"' in line


@pytest.mark.slow
def test_only_the_wrong_program_fails_pyright_strict(folder: Path) -> None:
    pyright = shutil.which("pyright") or shutil.which("basedpyright", path=str(Path(sys.executable).parent))
    if pyright is None:
        pytest.skip("neither pyright nor basedpyright is installed")
    where = {"extraPaths": [str(ROOT)], "venvPath": str(Path(sys.prefix).parent), "venv": Path(sys.prefix).name}
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"} | where))
    command = [pyright, "--project", str(folder), "--outputjson"]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(texts()), done.stderr
    assert {Path(row["file"]).stem for row in report["generalDiagnostics"]} == {"no_neuron"}
