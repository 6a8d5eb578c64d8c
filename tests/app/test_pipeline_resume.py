"""A pipeline's run, killed or interrupted at any moment, ends as if it had not been."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.command import neurosim, refused
from helpers.killed import Kills, kill_many
from helpers.pipelines import prepare, write
from helpers.results import manifest

from neurosim.app import RunOptions
from neurosim.app.runs.frame.lifecycle import resume, start
from neurosim.app.runs.pipeline import KIND
from neurosim.app.runs.pipeline.config import configure
from neurosim.app.runs.pipeline.progress import PROGRESS, PipelineProgress
from neurosim.base import NeurosimInterruptedError
from neurosim.data import read_sonata

TASKS = {"tasks": [[0, 1, 2], [3, 4, 5]], "save_every": 5}
FILES = {"manifest.json", "config.toml", "metrics.json", "spikes.h5", "learned.safetensors", "report.html"}


@pytest.fixture(autouse=True)
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, monkeypatch)
    write("pipe.toml", data=TASKS)


def same(run: str, other: str) -> None:
    """Two finished runs hold the same, wall-clock times apart."""
    ours, theirs = (json.loads(Path(r, "metrics.json").read_text()) for r in (run, other))
    for timed in ("real_time_factor", "timings", "run"):
        del ours[timed], theirs[timed]
    assert ours == theirs
    assert Path(run, "learned.safetensors").read_bytes() == Path(other, "learned.safetensors").read_bytes()
    for name in ("camera", "edges", "columns", "readout"):
        mine, its = (read_sonata(f"{r}/spikes.h5", name) for r in (run, other))
        assert mine.digest() == its.digest() and len(mine), name
    assert manifest(run)["status"] == "done"
    # Hidden: what a process was writing when it was killed.
    assert {p.name for p in Path(run).iterdir() if not p.name.startswith(".")} == FILES


def interrupted(run: str, saves: int) -> None:
    """Leave a run that Ctrl-C stopped after some saves."""
    save = PipelineProgress.save
    left = [saves]

    def counted(*given: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        save(*given)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(NeurosimInterruptedError, match="simulate --resume"):
        patch.setattr(PipelineProgress, "save", counted)
        start(KIND, configure(Path("pipe.toml")), RunOptions(out=Path(run)))


@pytest.mark.slow
def test_interrupted_anywhere_it_ends_the_same() -> None:
    start(KIND, configure(Path("pipe.toml")), RunOptions(out=Path("whole")))
    # Before the first save, in the first task, in the test after it, and in the last test.
    for saves in (0, 5, 9, 18):
        run = f"run{saves}"
        interrupted(run, saves)
        assert manifest(run)["status"] == "interrupted"
        assert Path(run, PROGRESS).exists() == (saves > 0)
        neurosim("simulate", "--resume", run, "--quiet", "--threads", "1")
        same(run, "whole")
        assert len(manifest(run)["resumed"]) == 1
    assert "its run is done" in refused("simulate", "--resume", "whole", "--quiet")


def test_a_run_resumes_only_on_its_own_recordings_and_settings() -> None:
    interrupted("run", 5)
    Path("digits/Train/0").rename("digits/away")
    assert "run: data: must be what the run began with; run it again" in refused("simulate", "--resume", "run")
    Path("digits/away").rename("digits/Train/0")
    text = Path("run/config.toml").read_text()
    Path("run/config.toml").write_text(text.replace("seed = 3", "seed = 4"))
    assert "was changed since the run began" in refused("simulate", "--resume", "run")
    Path("run/config.toml").write_text(text)
    Path("run", PROGRESS).write_bytes(b"cut")
    assert f"{PROGRESS}: is not a complete neurosim PipelineProgress file" in refused("simulate", "--resume", "run")
    Path("run", PROGRESS).unlink()
    start(KIND, configure(Path("pipe.toml")), RunOptions(out=Path("whole")))
    resume(KIND, Path("run"))
    same("run", "whole")
    line = refused("simulate", "--resume", "run", "--seed", "3")
    assert "--resume: cannot be combined with options that change the result" in line


@pytest.mark.slow
def test_killed_many_times_it_ends_the_same() -> None:
    """Kill -9 at a random write, rename, sync or moment; then every run, to its end."""
    first = ("simulate", "--config", "pipe.toml")
    prepare = "helpers.pipelines:prepare_here"
    kills = kill_many(Kills(first, ("simulate",), 6, (4, 90), (0.05, 0.8), prepare=prepare))
    for run in kills:
        same(run, "whole")


@pytest.mark.slow
def test_ctrl_c_ends_in_one_line() -> None:
    """A process of its own, and a signal."""
    script = "import sys; sys.path.insert(0, sys.argv.pop(1))\n" + (
        "import os, signal\nfrom helpers.pipelines import prepare_here\n"
        "from neurosim.app.runs.pipeline.progress import PipelineProgress\n"
        "prepare_here()\nsave = PipelineProgress.save\n"
        "def saved(*given):\n    save(*given)\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "PipelineProgress.save = saved\nfrom neurosim.app.cli import main\nmain()\n"
    )
    words = ["simulate", "--config", "pipe.toml", "--out", "run", "--quiet"]
    command = [sys.executable, "-c", script, str(Path(__file__).parents[1]), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 130 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "finished work is saved, continue with: neurosim simulate --resume run" in done.stderr
    neurosim("simulate", "--resume", "run", "--quiet")
    start(KIND, configure(Path("pipe.toml")), RunOptions(out=Path("whole")))
    same("run", "whole")
