"""Kill a command at random writes, renames, syncs or moments, continue it, and kill it again, many times over.

Run as a process of its own, whose children are its forks: they begin in a millisecond, with everything compiled.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from helpers.trained_once import train_once

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Kills:
    """What is killed, and how often.

    Attributes:
        first: words of the command that begins a run, without `--out`.
        resume: words of the command that continues one, without `--resume`.
        count: number of kills, more where no run was killed twice; then every run goes on to its end.
        writes: bounds of the number of the write, rename or sync at which a child ends.
        pause: bounds of the seconds after which a child is killed, where it does not end at a write.
        threads: choices of `--threads` of continued runs; none for a command without that option.
        prepare: "module:function" that is called first, in the folder of the runs.
    """

    first: Sequence[str]
    resume: Sequence[str]
    count: int
    writes: tuple[int, int]
    pause: tuple[float, float]
    threads: Sequence[int] = (1, 2)
    prepare: str = ""


def kill_many(kills: Kills) -> dict[str, int]:
    """Run a command whole into the folder `whole`, and kill others of it; return the kills of each run by folder."""
    words = [sys.executable, __file__, json.dumps(asdict(kills))]
    paths = os.pathsep.join([str(ROOT), str(ROOT.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def _main(kills: Kills) -> None:
    # The first run trains them, and the children have its answers.
    train_once()
    if kills.prepare:
        module, _, name = kills.prepare.partition(":")
        getattr(importlib.import_module(module), name)()
    first = [*kills.first, "--quiet", "--out"]
    go_on = [*kills.resume, "--quiet"]
    assert _run([*first, "whole"]) == 0  # also loads what the children need
    chance = random.Random(1)
    found: dict[str, int] = {}
    run = 0
    while sum(found.values()) < kills.count or max(found.values()) == 1:
        folder = f"killed{run}"
        known = _manifest(folder)
        if known.get("status") == "done":
            assert _run(["report", folder]) == 0  # killed in the midst of the report
            run += 1
            continue
        begun = "data" in known
        if known and not begun:
            assert _run([*go_on, "--resume", folder]) == 2  # killed before it began
        threads = ["--threads", str(chance.choice(kills.threads))] if kills.threads else []
        if begun:
            words = [*go_on, *threads, "--resume", folder]
        else:
            words = [*first, folder]
        status = _killed(words, chance, kills)
        if os.WIFSIGNALED(status):
            found[folder] = found.get(folder, 0) + 1
        else:
            assert os.WEXITSTATUS(status) == 0, status
            run += 1
    folder = f"killed{run}"
    if folder in found:
        known = _manifest(folder)
        if "data" in known:
            words = [*go_on, "--resume", folder]
        else:
            words = [*first, folder]
        assert _run(["report", folder] if known.get("status") == "done" else words) == 0
    print(json.dumps(found))


def _killed(words: Sequence[str], chance: random.Random, kills: Kills) -> int:
    """Return the status of a child that ran the words, and was killed unless it ended first."""
    at_a_write = chance.random() < 0.5
    number = chance.randrange(*kills.writes)
    pause = chance.uniform(*kills.pause)
    child = os.fork()
    if child == 0:
        if at_a_write:
            left = [number]
            for name in ("replace", "fsync", "write"):
                setattr(os, name, _counted(getattr(os, name), left))
        os._exit(_run(words))
    if not at_a_write:
        time.sleep(pause)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _counted(real: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def counted(*given: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given)

    return counted


def _run(words: Sequence[str]) -> int:
    from neurosim.app.cli import main

    try:
        main(list(words))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _manifest(folder: str) -> dict[str, Any]:
    path = Path(folder, "manifest.json")
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


if __name__ == "__main__":
    _main(Kills(**json.loads(sys.argv[1])))
