"""Workers of `neurosim continual run` that are killed, stopped or cannot be reached."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from helpers import command
from helpers.tasks import SMALL, matrices

from neurosim.app import open_run
from neurosim.base import NeurosimMissingError
from neurosim.base.distribution import install
from neurosim.base.json_toml import read_json

pytest.importorskip("torch")
neurosim = partial(command.neurosim, "continual")
ran = partial(command.result_of, "continual")
refused = partial(command.refused, "continual")
pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


# Of a learner without torch, which a process imports in 2 s, and long enough to be stopped between tasks.
HALF_WAY = ("--learner", "macrocolumn", "--seeds", "2", "--set", "stream.tasks=4", "--set", "stream.train_limit=400")


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(config: Path, tmp_path: Path) -> None:
    """kill -9 on the workers while they are half way; the same run goes on, and ends as one that was never killed."""
    slow = [*HALF_WAY, "--set", "learners.macrocolumn.columns=32", "--set", "learners.macrocolumn.units=128"]
    whole = ran("run", config, *slow, "--out", "whole")
    command = [
        sys.executable,
        "-m",
        "neurosim",
        "continual",
        "run",
        str(config),
        *slow,
        "--workers",
        "2",
        "--out",
        "cut",
    ]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    cells = tmp_path / "cut" / "cells"
    killed = []
    limit = time.monotonic() + 600
    while not killed and process.poll() is None and time.monotonic() < limit:
        if any(cells.glob("*/*/state.safetensors")):
            killed = _workers(process.pid)
            for worker in killed:
                os.kill(worker, signal.SIGKILL)
        time.sleep(0.02)
    _, errors = process.communicate(timeout=600)
    assert killed, "the run was over before a worker could be killed"
    assert process.returncode == 0, errors.decode()
    assert b"a worker was killed; its trial continues from what it saved (1 of 2)" in errors
    assert matrices(read_json(tmp_path / "cut" / "metrics.json")) == matrices(whole)


def _workers(parent: int) -> list[int]:
    """The pool's processes: children that run spawned code, not the resource tracker."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes()
            above = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if above == parent and b"spawn_main" in words:
            found.append(int(path.name))
    return found


def test_workers_that_are_always_killed(config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from concurrent.futures.process import BrokenProcessPool

    from neurosim.app.runs.frame import executor

    class Broken:
        def __init__(self, *anything: object) -> None: ...
        def __enter__(self) -> Broken:
            raise BrokenProcessPool

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(executor, "ProcessPoolExecutor", Broken)
    result = neurosim("run", config, "--workers", 2, "--out", "killed", expect=1)
    assert "workers were killed 3 times, 3 of 3 trials are not done; out of memory?" in result.stderr
    assert open_run(tmp_path / "killed").manifest.status == "failed"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert len(ran("run", "--resume", "killed")["rows"]) == 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigterm_ends_the_workers_too_and_the_run_goes_on(config: Path) -> None:
    words = ("run", config, *HALF_WAY, "--seeds", "3", "--workers", "2", "--out", "stopped", "--quiet")
    command = [sys.executable, "-m", "neurosim", "continual", *map(str, words)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(Path(".").glob("stopped/**/state.safetensors")):
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    line = child.communicate(timeout=60)[1].splitlines()[-1]
    assert child.returncode == 128 + signal.SIGTERM
    assert "continue with: neurosim continual run --resume stopped" in line
    assert open_run(Path("stopped")).manifest.status == "interrupted"
    done = [path.read_bytes() for path in Path("stopped").glob("**/result.json")]
    time.sleep(2.0)
    assert done == [path.read_bytes() for path in Path("stopped").glob("**/result.json")]
    assert ran("run", "--resume", "stopped")["seeds"] == [0, 1, 2]


def test_without_dask_a_cluster_says_what_to_install(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    line = refused("run", config, "--cluster", "tcp://127.0.0.1:1")
    assert "--cluster: needs dask" in line and install("cluster") in line


def test_a_cluster_that_does_not_answer(config: Path) -> None:
    pytest.importorskip("distributed", reason="dask is not installed: pip install '.[cluster]'")
    from neurosim.app.runs.frame.executor import Executor, run_tasks

    with pytest.raises(NeurosimMissingError, match=r"--cluster: no dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(run_tasks([], print, Executor(cluster="tcp://127.0.0.1:9"), print, name="trial"))
