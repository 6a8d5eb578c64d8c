"""Every script of the benchmarks can be imported, and reads the options that its page names."""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.relative_to(BENCHMARKS).with_suffix("").as_posix() for path in BENCHMARKS.rglob("*.py"))
NO_OPTIONS = {"machine", "peers/list_peers", "peers/run_brian2_plastic"}
# All other scripts that can be called have options.
READERS = [name for name in SCRIPTS if "__main__" in (BENCHMARKS / f"{name}.py").read_text() and name not in NO_OPTIONS]
# Arguments that a script must be given; all others have defaults.
NEEDED = {
    "byte_models": ["text"],
    "convert": ["model"],
    "dendrites": ["folder"],
    "linearise": ["model"],
    "paired": ["--first", "a.json", "--second", "b.json"],
    "nab": ["--data", "NAB"],
    "run_neurosim": ["cuba"],
    "stated_loss": ["model"],
    "peers/run_brian2": ["cuba"],
    "peers/run_brian2_equations": ["in.json", "out.npz"],
    "peers/run_nest": ["cuba"],
    "peers/run_layers": ["neurosim", "layer"],
    "peers/run_training": ["neurosim"],
    "peers/run_reservoirpy": ["series.npz"],
    "pipelines": ["incremental"],
}


def run(name: str, run_name: str) -> None:
    try:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name=run_name)
    except ModuleNotFoundError as error:
        # A library to compare with.
        if error.name in SCRIPTS or (error.name or "").startswith("neurosim"):
            raise
        pytest.skip(f"{error.name} is not installed")


@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - set(READERS)))
def test_a_script_is_imported(name: str) -> None:
    run(name, "imported")


class Parsed(Exception):
    """Raised in place of the work of a script."""


@pytest.mark.parametrize("name", READERS)
def test_a_script_parses_its_defaults(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *NEEDED.get(name, ())])
    parse = argparse.ArgumentParser.parse_args

    def parsed(self: argparse.ArgumentParser, *words: Any) -> None:
        assert len(self.format_help()) > len(self.format_usage())
        parse(self, *words)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    with pytest.raises(Parsed):
        run(name, "__main__")
