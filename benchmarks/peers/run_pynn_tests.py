"""Run PyNN's own system tests on neurosim.pynn, and print a table: passed, failed or skipped, and why.

`make peers-pynn` builds the environment and runs this there. Each scenario is written for several simulators and gets
the simulator as an argument; here all of them get neurosim, those for other simulators too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import neurosim.pynn as backend
import pyNN
import pytest

SOURCES = Path(sys.prefix) / "src"
SCENARIOS = "test/system/scenarios"
# Scenarios that cannot pass, and why.
LACKING = {
    "test_cell_types test_composed_neuron_model_homogeneous_receptors": "PointNeuron: cells have two receptors",
    "test_scenario5 test_scenario5": "MultiCompartmentNeuron: the engine has no cells with a morphology",
}


class Simulator:
    """The module that a scenario gets; its name decides branches of the tests and names of files."""

    __name__ = "pyNN.neurosim"

    def __str__(self) -> str:
        return self.__name__

    def __getattr__(self, name: str) -> Any:
        return getattr(backend, name)


def run_with_simulators(*_: str) -> Callable[..., Any]:
    """Stand for the decorator of the scenarios, which would take the simulators that are installed."""
    return pytest.mark.parametrize("sim", [pytest.param(Simulator(), id="neurosim")])


class Verdicts:
    """Results of the tests, by name."""

    def __init__(self) -> None:
        self.lines: dict[str, tuple[str, str]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid.rpartition("/")[2].replace("[neurosim]", "").replace(".py::", " ")
        if report.when == "call" or report.outcome != "passed":
            reason = ""
            if report.outcome == "failed":
                reason = str(report.longrepr.reprcrash.message).splitlines()[0]
            elif report.outcome == "skipped":
                reason = str(report.longrepr[2])
            self.lines[name] = report.outcome, reason


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="of the tests; default where make peers-pynn put them")
    parser.add_argument("-k", dest="words", default="", help="tests to run, as of pytest")
    chosen = parser.parse_args()
    folder = chosen.folder.absolute() if chosen.folder else next(SOURCES.glob("pynn-*")) / SCENARIOS
    fixtures: Any = types.ModuleType("fixtures")
    fixtures.run_with_simulators = run_with_simulators
    # The scenarios import `.fixtures`, under the name that pytest gives their folder.
    for name in ("scenarios", "system.scenarios", "test.system.scenarios"):
        sys.modules[f"{name}.fixtures"] = fixtures
    sys.modules["pyNN.neurosim"] = backend
    pyNN.neurosim = backend
    verdicts = Verdicts()
    # Some scenarios write files.
    os.chdir(tempfile.mkdtemp())
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "--tb=short", "-k", chosen.words]
    pytest.main([*options, str(folder)], [verdicts])
    print()
    for name, (outcome, reason) in sorted(verdicts.lines.items()):
        why = "" if outcome == "passed" else LACKING.get(name, reason)
        print(f"| {name} | {outcome} | {why} |")
    outcomes = [outcome for outcome, _ in verdicts.lines.values()]
    print(", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("passed", "failed", "skipped")))
    wrong = [name for name, (outcome, _) in verdicts.lines.items() if outcome == "failed" and name not in LACKING]
    return 1 if wrong or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
