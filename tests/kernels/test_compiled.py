"""Compiled kernels are taken from the cache exactly as long as the text that they were compiled from is the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from neurosim.kernels.tools import compiled

CALLER = """
from neurosim.kernels.tools.compiled import compiled
from .rates import (
    RATE,
)

@compiled
def scale(x):
    return RATE * x
"""

PROGRAM = """
from cached_kernels.caller import scale
print(scale(2.0), sum(scale.stats.cache_hits.values()))
"""


def made(folder: Path, rate: float) -> Path:
    """Write the package `cached_kernels`, whose kernel reads a constant of another file."""
    package = folder / "cached_kernels"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "rates.py").write_text(f"RATE = {rate}\n")
    (package / "caller.py").write_text(CALLER)
    return folder


def called(folder: Path) -> tuple[float, int]:
    """Return the kernel's answer to 2 in a process of its own, and how many compiled forms came from the cache."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), *sys.path])
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    answer, hits = done.stdout.split()
    return float(answer), int(hits)


def test_a_kernel_is_compiled_again_when_a_constant_of_another_file_changes(tmp_path):
    folder = made(tmp_path, 1.5)
    assert called(folder) == (3.0, 0)
    assert called(folder) == (3.0, 1)
    made(tmp_path, 2.5)
    assert called(folder) == (5.0, 0)


def test_a_copy_with_other_times_is_not_compiled_again(tmp_path):
    folder = made(tmp_path / "first", 1.5)
    called(folder)
    copy = Path(shutil.copytree(folder, tmp_path / "second"))
    for file in copy.rglob("*.py"):
        os.utime(file, (1e9, 1e9))
    assert called(copy) == (3.0, 1)


def test_the_digest_of_a_loop_covers_what_it_calls():
    loop = compiled.KERNELS / "engine" / "clocked" / "loop.py"
    files = {loop}
    waiting = [loop]
    while waiting:
        new = set(compiled.imported_kernels(waiting.pop())) - files
        files |= new
        waiting.extend(new)
    names = {file.relative_to(compiled.KERNELS).as_posix() for file in files}
    assert {"engine/clocked/plasticity.py", "engine/clocked/views.py", "tools/random.py", "tools/pointers.py"} <= names


def test_an_index_that_names_a_lost_class_is_empty(tmp_path, monkeypatch):
    made(tmp_path, 1.5)
    monkeypatch.syspath_prepend(tmp_path)
    from cached_kernels import caller

    caller.scale(2.0)
    index = caller.scale._cache._cache_file
    assert index._load_index()

    def lose(file):
        raise AttributeError("Can't get attribute 'Team'")

    monkeypatch.setattr("pickle.loads", lose)
    assert index._load_index() == {}
