"""Calls in a process of their own, beside a run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.beside import CalledHere

from neurosim import Recordings
from neurosim.app.runs.frame import beside
from neurosim.app.runs.frame.beside import called_beside
from neurosim.app.runs.frame.options import RunOptions
from neurosim.app.runs.memory import items
from neurosim.app.runs.memory.config import MemoryConfig
from neurosim.app.runs.score import FrameCNN, OtherClassifiers


def test_the_call_is_in_another_process_of_the_same_priority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A file of the current folder does not take the place of a module.
    monkeypatch.chdir(tmp_path)
    Path("neurosim.py").write_text("raise SystemExit(1)")
    numbers = np.arange(100_000)
    with called_beside(os.getpid) as process, called_beside(os.nice, 0) as niceness:
        assert process() != os.getpid()
        assert niceness() == os.nice(0)
    with called_beside(np.sum, numbers) as total:
        assert total() == numbers.sum()


def test_what_raises_is_raised_here_and_what_cannot_be_sent_is_called_here() -> None:
    with called_beside(divmod, 1, 0) as result, pytest.raises(ZeroDivisionError):
        result()
    with called_beside(lambda: 3) as result:
        assert result() == 3


def test_a_system_without_room_for_processes_calls_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("no further process")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with called_beside(sum, [1, 2]) as result:
        assert result() == 3


def test_the_process_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = beside._start

    def noted() -> subprocess.Popen[bytes]:
        started.append(start())
        return started[0]

    monkeypatch.setattr(beside, "_start", noted)
    # More than a pipe holds, which the process has not read when it ends.
    with pytest.raises(KeyboardInterrupt), called_beside(len, bytes(1_000_000)):
        raise KeyboardInterrupt
    assert started[0].returncode and started[0].stdin.closed


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    assert RunOptions().thread_count == 1 and not beside.has_free_core(RunOptions())


def test_others_beside_a_memory_have_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(12) % 2
    batch = Recordings(
        np.arange(12.0), np.arange(12), np.arange(13), np.ones(12), 100, (10, 10), 1.0, labels, ("a", "b")
    )
    raw = items.Raw(batch, labels, ("a", "b"), "train")
    called = CalledHere()
    monkeypatch.setattr(items, "called_beside", called)
    monkeypatch.setattr(items, "measure_baselines", lambda train, test: {train.digest(): len(test)})
    monkeypatch.setattr(items, "train_frame_cnn", lambda *known: FrameCNN(parameters=known[2]))
    monkeypatch.setattr(items, "MIN_BESIDE", 12)
    monkeypatch.setattr(beside, "core_count", lambda: 2)
    config = MemoryConfig.configure(None, ("data.name=digits", "baselines.cnn=true"))
    reached: list[OtherClassifiers] = []
    for options in (RunOptions(threads=1), RunOptions()):
        with items.compared_beside(config, raw, raw, 100, options) as comparison:
            reached.append(comparison())
    assert reached == [OtherClassifiers(baselines={batch.digest(): 12}, cnn=FrameCNN(parameters=100))] * 2
    assert called.calls == 1
