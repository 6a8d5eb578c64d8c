"""`simulate --checkpoint-every` and `--resume`: killed any number of times, a run ends as if it had not been."""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from helpers.command import neurosim
from helpers.killed import Kills, kill_many
from helpers.results import manifest
from helpers.samples import sampled

from neurosim import Simulation, Spikes
from neurosim.app import RunOptions, open_run, read_metrics
from neurosim.app.runs import frame
from neurosim.app.runs.frame.lifecycle import resume, start
from neurosim.app.runs.network import KIND, NetworkKind, stepping
from neurosim.app.runs.network.config import configure
from neurosim.app.runs.network.readings import PART, ReadingsLog
from neurosim.base import NeurosimInputError, NeurosimInterruptedError
from neurosim.base.json_toml import write_json
from neurosim.data import read_sonata
from neurosim.data.files import formats
from neurosim.data.files.arrays import read_arrays
from neurosim.data.files.journal import Journal, read_about, read_blocks

TREE: dict[str, Any] = {
    "simulation": {"duration": 2.0, "clock": 1e-3, "seed": 3},
    "population": [
        {"name": "in", "shape": 5, "model": "SpikeSource", "spikes": "in.csv"},
        {"name": "E", "shape": 40, "model": "LIF", "tau_mem": 0.01},
        {"name": "I", "shape": 10, "model": "CubaLIF"},
    ],
    "projection": [
        {"source": "in", "target": "E", "pattern": "AllToAll", "weight": 0.2},
        {"source": "E", "target": "I", "pattern": {"name": "FixedProbability", "p_connect": 0.5}, "weight": 1.0},
        {"source": "I", "target": "E", "pattern": "AllToAll", "weight": -0.1, "delay": 0.004},
    ],
    "stimulus": [{"target": "E", "rate": 2000.0, "weight": 0.1}],
    "probe": [{"population": "E", "variable": "v", "units": [0, 1]}],
}
FILES = {"manifest.json", "config.toml", "metrics.json", "spikes.h5", "states.safetensors", "report.html"}


@pytest.fixture(autouse=True)
def network_file(elsewhere: None) -> None:
    rng = np.random.default_rng(0)
    formats.write("in.csv", Spikes.sort(rng.uniform(0, 2, 400), rng.integers(0, 5, 400), 5, 2.0))
    write({})


def write(changes: dict[str, Any]) -> None:
    Path("net.toml").write_text(tomli_w.dumps({**TREE, "simulation": {**TREE["simulation"], **changes}}))


def same(run: str, other: str) -> None:
    """Two finished runs hold the same, wall-clock times apart."""
    ours, theirs = (json.loads(Path(r, "metrics.json").read_text()) for r in (run, other))
    for timed in ("real_time_factor", "build_s", "run_s", "timings", "run"):
        del ours[timed], theirs[timed]
    assert ours == theirs
    for name in ("in", "E", "I"):
        assert read_sonata(f"{run}/spikes.h5", name).digest() == read_sonata(f"{other}/spikes.h5", name).digest()
    mine, its = (read_arrays(f"{r}/states.safetensors") for r in (run, other))
    assert np.array_equal(mine["E.v"], its["E.v"])
    assert manifest(run)["status"] == "done"
    # Hidden: what a process was writing when it was killed.
    assert {p.name for p in Path(run).iterdir() if not p.name.startswith(".")} == FILES


def test_checkpoints_change_nothing() -> None:
    for run, words in (("plain", ()), ("often", ("--checkpoint-every", "0.03")), ("late", ("--checkpoint-every", "9"))):
        done = neurosim("simulate", "--config", "net.toml", "--out", run, "--quiet", *words)
        assert done.exit_code == 0, done.output
    same("often", "plain")
    same("late", "plain")


def begun() -> subprocess.Popen[str]:
    """Return a run that has written spikes, and is far from its end."""
    command = [sys.executable, "-m", "neurosim", "simulate", "--config", "net.toml", "--out", "run", "--quiet"]
    # Under nohup a hangup is ignored, which a child inherits and a run respects.
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGHUP, hangup)
    part = Path("run/spikes.h5.part")
    while not (part.exists() and part.stat().st_size > 2000):
        assert child.poll() is None
        time.sleep(0.01)
    return child


def test_a_run_whose_process_is_gone_is_shown_as_killed() -> None:
    write({"duration": 500.0})
    child = begun()
    # It is there, and takes no time from the tests.
    child.send_signal(signal.SIGSTOP)
    assert "running" in neurosim("runs", "list", ".").stdout
    child.kill()
    child.communicate()
    listed = neurosim("runs", "list", ".").stdout
    assert "killed" in listed and "running" not in listed
    assert "run was killed; continue with: neurosim simulate --resume run" in listed
    assert "killed; continue with: neurosim simulate --resume run" in Path("index.html").read_text()
    with pytest.raises(NeurosimInputError, match=r"has no results \(killed\)"):
        read_metrics(open_run(Path("run")))
    # The processes of another machine cannot be seen from here.
    write_json("run/manifest.json", {**manifest("run"), "place": {"machine": "another", "boot": "another"}})
    assert "running" in neurosim("runs", "list", ".").stdout


@pytest.mark.slow
def test_a_closed_terminal_leaves_a_run_that_goes_on() -> None:
    """Nothing can be written to it any more, neither the bar of the progress nor the message."""
    pty = pytest.importorskip("pty")
    fcntl = pytest.importorskip("fcntl")
    write({"duration": 50_000.0})
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        words = ("-m", "neurosim", "simulate", "--config", "net.toml", "--out", "run")
        os.execv(sys.executable, (sys.executable, *words))
    termios = pytest.importorskip("termios")
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    until = time.monotonic() + 60
    shown = b""
    while b"simulating" not in shown and time.monotonic() < until:
        if select.select([terminal], [], [], 1.0)[0]:
            shown += os.read(terminal, 1000)
    os.close(terminal)
    status = os.waitpid(child, 0)[1]
    assert manifest("run")["status"] == "interrupted" and manifest("run")["checkpoint"] > 0
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP


@pytest.mark.slow
def test_killed_many_times_it_ends_the_same() -> None:
    """Kill -9 at a random write, rename, sync or moment, at least 12 times over; then every run, to its end."""
    first = ("simulate", "--config", "net.toml", "--checkpoint-every", "0.02")
    kills = kill_many(Kills(first, ("simulate",), 12, (8, 150), (0.005, 0.15), threads=(1, 2, 4)))
    for run in kills:
        same(run, "whole")
        assert len(manifest(run).get("resumed", [])) <= kills[run]


@pytest.mark.parametrize("name", sampled(["SIGINT", "SIGTERM", "SIGHUP"], ["SIGTERM"]))
def test_a_signal_leaves_a_run_that_goes_on(name: str) -> None:
    number = getattr(signal, name)
    write({"duration": 500.0})
    child = begun()
    child.send_signal(number)
    line = child.communicate(timeout=600)[1]
    assert child.returncode == 128 + number and line.count("\n") == 1
    assert "s of 500 s; nothing is lost, continue with: neurosim simulate --resume run" in line
    assert manifest("run")["status"] == "interrupted" and manifest("run")["checkpoint"] > 0
    assert Path("run/checkpoint.safetensors").exists()


def interrupted(run: str, after: int = 1) -> None:
    """Leave a run that Ctrl-C stopped after some checkpoints."""
    config = configure(Path("net.toml"))
    save = stepping._note
    left = [after]

    def note(*given: Any) -> None:
        save(*given)
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(NeurosimInterruptedError):
        patch.setattr(stepping, "_note", note)
        start(NetworkKind(checkpoint_every=0.25), config, RunOptions(out=Path(run)))


def test_resumed_with_other_threads_and_pieces() -> None:
    start(KIND, configure(Path("net.toml")), RunOptions(out=Path("whole")))
    interrupted("run", after=3)
    assert manifest("run")["checkpoint"] == 0.75
    done = neurosim("simulate", "--resume", "run", "--quiet", "--json", "--threads", "2", "--checkpoint-every", "0.7")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["spike_digest"] == json.loads(Path("whole/metrics.json").read_text())["spike_digest"]
    assert manifest("run")["checkpoint_every"] == 0.7 and len(manifest("run")["resumed"]) == 1
    Path("run/report.html").touch()
    Path("whole/report.html").touch()
    same("run", "whole")


def test_a_run_killed_before_its_first_checkpoint_starts_again() -> None:
    start(KIND, configure(Path("net.toml")), RunOptions(out=Path("whole")))
    interrupted("run")
    Path("run/checkpoint.safetensors").unlink()
    assert resume(KIND, Path("run")).spikes == json.loads(Path("whole/metrics.json").read_text())["spikes"]


def refused(*words: object) -> str:
    done = neurosim("simulate", *words, "--quiet", expect=2)
    assert done.stderr.count("\n") == 1, done.output
    return done.stderr


def test_what_cannot_be_resumed_says_why() -> None:
    assert "nowhere: no such run folder" in refused("--resume", "nowhere")
    interrupted("run")
    assert "leave them out (got 7)" in refused("--resume", "run", "--seed", 7)
    assert "leave them out (got digits)" in refused("digits", "--resume", "run")
    assert "--checkpoint-every: must be > 0 s of biological time (got -1.0)" in refused(
        "--resume", "run", "--checkpoint-every", -1.0
    )
    text = Path("run/config.toml").read_text()
    Path("run/config.toml").write_text(text.replace("tau_mem = 0.01", "tau_mem = 0.02"))
    assert "config.toml: was changed since the run began; run it again" in refused("--resume", "run")
    Path("run/config.toml").write_text(text)
    data = Path("in.csv").read_bytes()
    formats.write("in.csv", Spikes([0.5], [1], 5, 2.0))
    assert "run: data: must be what the run began with; run it again" in refused("--resume", "run")
    Path("in.csv").write_bytes(data)
    whole = Path("run/checkpoint.safetensors").read_bytes()
    Path("run/checkpoint.safetensors").write_bytes(whole[:-100])
    assert "checkpoint.safetensors: is not a complete neurosim Simulation" in refused("--resume", "run")
    Path("run/checkpoint.safetensors").write_bytes(whole)
    assert neurosim("simulate", "--resume", "run", "--quiet").exit_code == 0
    assert "run: its run is done, there is nothing to resume" in refused("--resume", "run")


def test_what_cannot_be_checkpointed_says_why() -> None:
    assert "--checkpoint-every: needs a network in --config" in refused("digits", "--checkpoint-every", "1")
    assert "must be > 0 s of biological time" in refused("--config", "net.toml", "--checkpoint-every", "0")
    write({"clock": "continuous"})
    assert "--checkpoint-every: needs a run on a grid" in refused("--config", "net.toml", "--checkpoint-every", "1")
    assert not list(Path().glob("runs/*"))


def test_a_folder_of_a_process_killed_at_once_is_as_good_as_empty() -> None:
    Path("run").mkdir()
    Path("run/.manifest.x.part.json").touch()
    assert neurosim("simulate", "--config", "net.toml", "--out", "run", "--quiet").exit_code == 0
    assert not Path("run.1").exists()


def test_two_processes_do_not_resume_one_run() -> None:
    interrupted("run")
    with (
        frame.recorder.reopen(open_run(Path("run"))),
        pytest.raises(NeurosimInputError, match="another run is writing into it; wait for its end, or stop it"),
    ):
        resume(KIND, Path("run"))


def test_a_run_that_another_process_has_ended_meanwhile_is_not_resumed() -> None:
    interrupted("run")
    folder = open_run(Path("run"))
    resume(KIND, Path("run"))
    ended = Path("run/manifest.json").read_bytes()
    with (
        pytest.raises(NeurosimInputError, match="run: its run is done, there is nothing to resume"),
        frame.recorder.reopen(folder),
    ):
        pytest.fail("the body ran")
    assert Path("run/manifest.json").read_bytes() == ended


WINDOWED: dict[str, Any] = {
    "simulation": {"duration": 2.0, "clock": 1e-3, "seed": 3},
    "population": [
        {"name": "in", "shape": 30, "model": "PoissonSource", "rate": 40.0},
        {"name": "memory", "shape": 120, "model": "TemporalMemory", "window": 0.03}
        | {"columns": 30, "cells_per_column": 4, "activation_threshold": 2, "min_threshold": 1},
    ],
    "link": [{"source": "in", "target": "memory"}],
}


def windows_saved() -> int:
    """Return the number of windows in the journal of the readings; each has two."""
    return sum(block.data.size for block in read_blocks(f"run/{PART}")) // (2 * 8)


def test_a_checkpoint_adds_the_readings_since_the_last_one() -> None:
    Path("net.toml").write_text(tomli_w.dumps(WINDOWED))
    Path("run").mkdir()
    log = ReadingsLog(Path("run"), configure(Path("net.toml")).description.network, 1e-3)
    readings = np.random.default_rng(0).random((40, 2))
    files = []
    for first in range(0, 40, 10):
        log.add({"memory": readings[first : first + 10]})
        log.save()
        files.append(Path(f"run/{PART}").read_bytes())
        assert windows_saved() == first + 10
    # Each file begins with the one before, and grows by ten windows alone.
    assert all(later.startswith(earlier) for earlier, later in pairwise(files))
    assert len({len(later) - len(earlier) for earlier, later in pairwise(files)}) == 1
    np.testing.assert_array_equal(log.arrays()["memory"], readings)
    # An interrupt came between a block and the note of it: it is saved twice, and read once.
    log._unsaved.append((0, 20, readings[20:]))
    log.save()
    log.close()
    again = ReadingsLog(Path("run"), configure(Path("net.toml")).description.network, 1e-3)
    again.load(40 * 30)
    again.close()
    np.testing.assert_array_equal(again.arrays()["memory"], readings)


def test_readings_go_on_where_the_checkpoint_is() -> None:
    Path("net.toml").write_text(tomli_w.dumps(WINDOWED))
    start(KIND, configure(Path("net.toml")), RunOptions(out=Path("whole")))
    interrupted("run", after=3)
    assert windows_saved() == 25
    # A file that lacks the last window, and one that a kill between the two files leaves: it has later windows, too.
    about = read_about(f"run/{PART}")
    blocks = list(read_blocks(f"run/{PART}"))
    last = blocks[-1].data.view(np.float64).reshape(-1, 2)
    for values in (last[:-1], np.concatenate([last, last + 1])):
        journal = Journal.create(f"run/{PART}", about)
        for block in blocks[:-1]:
            journal.append(block.tag, block.number, (block.data,))
        journal.append(0, blocks[-1].number, (values,))
        journal.close()
        if len(values) < len(last):
            assert "'memory' must have at least 25 windows (got 24); start the run again" in refused("--resume", "run")
    assert neurosim("simulate", "--resume", "run", "--quiet").exit_code == 0
    for name in ("readings.safetensors", "learned.safetensors"):
        assert Path(f"run/{name}").read_bytes() == Path(f"whole/{name}").read_bytes()
    assert not Path(f"run/{PART}").exists()
    assert len(read_arrays("whole/readings.safetensors")["memory/anomaly"]) == 66


def test_readings_of_a_piece_that_ctrl_c_ends_are_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("net.toml").write_text(tomli_w.dumps(WINDOWED))
    start(KIND, configure(Path("net.toml")), RunOptions(out=Path("whole")))
    run = Simulation.run

    def stopped(simulation: Simulation, duration: float, **given: Any) -> Any:
        if duration <= 1.0:
            return run(simulation, duration, **given)
        # The result of a piece that was interrupted is lost; what it holds is in the next one.
        simulation._runner.run_until(1000, simulation._outputs.spikes, simulation._outputs.states, lambda *_: None)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(NeurosimInterruptedError):
        patch.setattr(Simulation, "run", stopped)
        start(KIND, configure(Path("net.toml")), RunOptions(out=Path("run")))
    assert windows_saved() == 33
    assert resume(KIND, Path("run")).spikes == json.loads(Path("whole/metrics.json").read_text())["spikes"]
    assert Path("run/readings.safetensors").read_bytes() == Path("whole/readings.safetensors").read_bytes()
