"""Every script of the benchmarks can be imported, and reads its defaults and the commands that pages name."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
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


def commands_of_pages() -> dict[str, set[tuple[str, ...]]]:
    """Return the arguments of every command of a script that a page names, by script; those without any left out."""
    commands = defaultdict(set)
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = path.read_text().replace("\\\n", " ")
        for name, words in re.findall(r"benchmarks/([\w/]+)\.py ([^`\n]*)", text):
            # `microcircuit.py --recipe` hands over to another script.
            if not words.startswith("--recipe"):
                commands[name].add(tuple(shlex.split(words)))
    return commands


COMMANDS = commands_of_pages()


@pytest.mark.parametrize("name", READERS)
def test_a_script_parses_its_defaults_and_the_commands_of_pages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name])
    parse = argparse.ArgumentParser.parse_args

    def parsed(self: argparse.ArgumentParser, *words: Any) -> None:
        assert len(self.format_help()) > len(self.format_usage())
        parts = sys._getframe(1).f_globals.get("PARTS")
        for command in (NEEDED.get(name, []), *sorted(COMMANDS[name])):
            chosen = parse(self, list(command))
            # Names of parts are words for argparse.
            if parts is not None and hasattr(chosen, "parts"):
                assert set(chosen.parts) <= set(parts), command
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    with pytest.raises(Parsed):
        run(name, "__main__")


def test_pages_name_commands_of_scripts_that_are_there() -> None:
    assert len(COMMANDS) > 25 and set(COMMANDS) <= set(SCRIPTS)
