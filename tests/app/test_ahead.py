"""Processes that compile kernels beside a first command."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from neurosim.app.cli import main
from neurosim.app.runs.frame import ahead
from neurosim.kernels.tools import cache_folder


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which parts are looked for, which is empty; and processes are allowed, on two cores."""
    monkeypatch.setattr(cache_folder, "cache_folder", lambda: tmp_path)
    monkeypatch.setenv(ahead.SWITCH, "1")
    monkeypatch.setattr(ahead, "core_count", lambda: 2)
    return tmp_path


def test_parts_that_no_cache_has_are_compiled_ahead(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ahead._missing(["network", "memory"]) == ["network", "memory"]
    assert ahead._missing([]) == []
    (kernels / "engine.clocked.loop.run-0123.py311.nbi").touch()
    assert ahead._missing(["network", "memory"]) == ["memory"]
    monkeypatch.setenv(ahead.SWITCH, "0")
    assert ahead._missing(["memory"]) == []


def test_a_command_compiles_a_part_that_no_cache_has(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[bool] = []
    part = ahead.KernelPart("engine.clocked.arrivals.enqueue", lambda: compiled.append(True))
    monkeypatch.setattr(ahead, "PARTS", {"stepping": part})
    ahead.compile_here("stepping")
    assert compiled == [True]
    (kernels / "engine.clocked.arrivals.enqueue-0123.py311.nbi").touch()
    ahead.compile_here("stepping")
    assert compiled == [True]


def test_nothing_is_started_on_one_core_or_without_a_folder(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_folder, "cache_folder", lambda: None)
    assert ahead._missing(["network"]) == []
    monkeypatch.setattr(cache_folder, "cache_folder", lambda: kernels)
    monkeypatch.setattr(ahead, "core_count", lambda: 1)
    assert ahead._missing(["network"]) == []


def test_processes_end_with_the_block(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    started = []

    def start(parts: Sequence[str]) -> subprocess.Popen[bytes]:
        asked.append(list(parts))
        program = "import time; time.sleep(60)"
        started.append(subprocess.Popen([sys.executable, "-S", "-c", program], stdin=subprocess.PIPE))
        return started[-1]

    monkeypatch.setattr(ahead, "_start", start)
    # The core that the command leaves compiles both parts.
    with ahead.compiled_ahead("train"):
        assert [process.poll() for process in started] == [None]
    assert all(process.poll() for process in started)
    monkeypatch.setattr(ahead, "core_count", lambda: 8)
    with ahead.compiled_ahead("train"):
        assert [process.poll() for process in started[1:]] == [None, None]
    assert all(process.poll() for process in started)
    assert asked == [["gradient", "trained"], ["gradient"], ["trained"]]


def test_a_system_without_room_for_processes_compiles_in_the_command(
    kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("no further process")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with ahead.compiled_ahead("demo"):
        pass


def test_a_process_ends_when_its_command_does() -> None:
    program = "from neurosim.app.runs.frame import ahead; ahead.end_with_parent(); raise SystemExit(1)"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
    process.communicate()
    assert process.returncode == 0


def test_parts_are_of_commands_and_kernels_that_exist() -> None:
    # Commands that run a liquid, or train a network, compile one themselves.
    here = {"stepping", "delivering"}
    assert {part for parts in ahead.OF_COMMANDS.values() for part in parts} == set(ahead.PARTS) - here
    for words in ahead.OF_COMMANDS:
        command: Any = main
        for word in words.split():
            command = command.get_command(click.Context(command), word)
        assert not isinstance(command, click.Group), words
    for part in ahead.PARTS.values():
        module, _, name = part.kernel.rpartition(".")
        assert hasattr(importlib.import_module(f"neurosim.kernels.{module}"), name)


# What is compiled ahead is of use only where commands call kernels with the same types of arguments.
PROGRAM = """
import sys
from neurosim.app.cli import main
from neurosim.app.runs.frame import ahead
from neurosim.kernels.engine.clocked import log, loop
from neurosim.kernels.tools.compiling import listeners
from neurosim.kernels.layers.adamw import cpu as adamw
from neurosim.kernels.layers.convolution import cpu as convolution
from neurosim.kernels.layers.scan import cpu as scan
from neurosim.kernels.layers.spike_linear import cpu as product, lists
from neurosim.kernels.memory.macrocolumn import cpu as column

FEW = ["--set", "data.train_limit=30", "--set", "data.limit=20", "--quiet"]
told = []
listeners.append(lambda kernel, is_cached: told.append(kernel))
for part in ("stepping", "delivering"):
    ahead.PARTS[part].compile()
for part, kernel, words in (
    ("network", loop.run, ["demo", *FEW]),
    ("memory", column.run, ["memory", "store", "digits", *FEW]),
):
    assert not kernel.signatures
    ahead.PARTS[part].compile()
    assert len(kernel.signatures) == 1 and kernel._cache.kernel == ahead.PARTS[part].kernel
    told.clear()
    main(words, standalone_mode=False)
    assert not any(each.startswith("engine.clocked.") for each in told), told
    assert len(kernel.signatures) == 1, kernel.signatures
ahead.PARTS["gradient"].compile()
ahead.PARTS["trained"].compile()
gradient = (
    scan.backward_lif, scan.forward_integrator, scan.backward_integrator, product._product, lists._turn,
    convolution._gather, adamw.average_gradient, adamw.move,
)
assert [len(kernel.signatures) for kernel in gradient] == [1] * len(gradient)
told.clear()
main(["train", "digits", "--epochs", "1", "--set", "baselines.cnn=false", *FEW], standalone_mode=False)
assert not any(each.startswith("engine.clocked.") for each in told), told
assert [len(kernel.signatures) for kernel in gradient] == [1] * len(gradient)
# The way back of general recurrences takes 6 s to compile, which a network of LIF and an integrator does not need.
assert not scan._backward.signatures
assert [len(kernel.signatures) for kernel in (loop.run, log.gather, log.count)] == [1] * 3
"""


@pytest.mark.slow
def test_commands_call_what_was_compiled_ahead(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("part", ahead.PARTS)
def test_a_part_compiles(part: str) -> None:
    ahead.PARTS[part].compile()
