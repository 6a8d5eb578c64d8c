"""Compiled kernels are taken from the cache exactly as long as the text that they were compiled from is the same."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from numba.core import config

from neurosim.kernels.tools import cache_folder, compiled, locks

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


@pytest.mark.slow
def test_text_decides_and_times_and_places_do_not(tmp_path):
    """A copy is not compiled again; a kernel whose constant changes in another file is."""
    folder = made(tmp_path / "first", 1.5)
    assert called(folder) == (3.0, 0)
    copy = Path(shutil.copytree(folder, tmp_path / "second"))
    for file in copy.rglob("*.py"):
        os.utime(file, (1e9, 1e9))
    assert called(copy) == (3.0, 1)
    # Of another length, or Python may take its own bytecode of the same second for that of this file.
    made(folder, 12.5)
    assert called(folder) == (25.0, 0)


def test_the_digest_of_a_kernel_covers_what_it_calls():
    kernel = compiled.KERNELS / "engine" / "clocked" / "watched.py"
    files = {kernel}
    waiting = [kernel]
    while waiting:
        new = set(compiled.imported_kernels(waiting.pop())) - files
        files |= new
        waiting.extend(new)
    names = {file.relative_to(compiled.KERNELS).as_posix() for file in files}
    near = {"engine/clocked/late.py", "engine/clocked/views.py"}
    # Imported by what it imports.
    far = {"engine/clocked/stimuli.py", "tools/intrinsics.py", "tools/random.py"}
    assert near | far <= names


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


def test_kernels_of_the_package_are_found_by_a_copy_elsewhere(tmp_path):
    program = (
        "import numpy as np; from neurosim.kernels.tools.cache_folder import cache_folder; "
        "from neurosim.kernels.engine.clocked.windows import most_in_a_step as f; "
        "f(np.zeros(3, np.int32)); print(sum(f.stats.cache_hits.values()), cache_folder())"
    )
    copy = tmp_path / "copy"
    shutil.copytree(compiled.KERNELS, copy / "neurosim" / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "neurosim" / "__init__.py").write_text("")
    hits = []
    for path in (compiled.KERNELS.parent, copy):
        environment = {**os.environ, "PYTHONPATH": str(path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        environment.pop("NUMBA_CACHE_DIR", None)
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        count, folder = done.stdout.split()
        hits.append(int(count))
    assert hits == [0, 1]
    assert Path(folder).is_relative_to(tmp_path / "cache" / "neurosim" / "kernels")
    assert any(file.name.startswith("engine.clocked.windows.most_in_a_step-") for file in Path(folder).iterdir())


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """Choose a cache folder anew: a function that returns it."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    cache_folder.cache_folder.cache_clear()
    locks._file.cache_clear()
    yield cache_folder.cache_folder
    cache_folder.cache_folder.cache_clear()
    locks._file.cache_clear()


def test_a_folder_that_cannot_be_made_is_none(own_folder, tmp_path):
    (tmp_path / "neurosim").write_text("a file")
    assert own_folder() is None


def test_the_oldest_kernels_go_where_all_take_too_much(own_folder, monkeypatch):
    monkeypatch.setattr(cache_folder, "MAX_BYTES", 1000)
    folder = own_folder()
    for age in range(10):
        file = folder / f"{age}.nbc"
        file.write_bytes(bytes(150))
        os.utime(file, (1e9 - age, 1e9 - age))
    cache_folder.remove_oldest(folder)
    assert sorted(file.name for file in folder.iterdir()) == [f"{age}.nbc" for age in range(5)]


def test_forms_are_named_by_their_key_and_unreadable_ones_compiled_again(own_folder):
    index = compiled._SharedFile(own_folder(), "engine.loop.run", Path(__file__))
    index.save("key", b"code")
    index.save("other", b"more")
    assert index.load("key") == b"code" and index.load("other") == b"more" and index.load("third") is None
    # Two processes that save at once have the same name only for the same key.
    assert len({index._load_index()[key] for key in ("key", "other")}) == 2
    for file in own_folder().glob("*.nbc"):
        file.write_bytes(b"")
    assert index.load("key") is None
    Path(index._index_path).write_bytes(b"")
    assert index._load_index() == {}


def test_a_full_disk_only_costs_the_next_process_time(own_folder, monkeypatch):
    index = compiled._SharedFile(own_folder(), "engine.loop.run", Path(__file__))

    def refuse(file, name):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compiled._SharedFile, "_open_for_write", refuse)
    index.save("key", b"code")
    assert index.load("key") is None


@pytest.mark.slow
def test_of_two_processes_that_need_a_kernel_one_compiles_it(tmp_path):
    folder = made(tmp_path, 1.5)
    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(called, [folder, folder]))
    assert sorted(answers) == [(3.0, 0), (3.0, 1)]


def test_a_lock_is_waited_for_and_freed_by_the_end_of_its_process(own_folder):
    holds = (
        "import time; from neurosim.kernels.tools.locks import locked\n"
        "with locked('kernel'):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(own_folder().parents[2])}
    holder = subprocess.Popen([sys.executable, "-c", holds], env=environment, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    waits = []

    def end_it():
        waits.append(holder.poll())
        holder.kill()

    with locks.locked("another", on_wait=end_it):
        pass
    assert waits == []
    with locks.locked("kernel", on_wait=end_it), locks.locked("kernel", on_wait=end_it):
        assert waits == [None]
    holder.communicate()


def test_garbage_is_collected_again_after_a_kernel_was_compiled():
    assert gc.isenabled()
    with compiled.uncollected():
        with compiled.uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    # Who holds it off, goes on to do so.
    gc.disable()
    try:
        with compiled.uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_kernel_runs_where_no_folder_can_be_written(monkeypatch):
    def refuse(*_):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(compiled.KernelCache, "__init__", refuse)
    told = []
    monkeypatch.setattr(compiled, "listeners", [lambda *heard: told.append(heard)])
    double = compiled.compiled(lambda x: 2 * x)
    assert double(3) == 6 and double(4) == 8
    # Of the other cache, one would have it.
    assert [is_cached for _, is_cached in told] == [False]


@pytest.mark.parametrize("error", [None, RuntimeError("no compiled object yet")])
def test_an_interrupt_in_a_callback_is_raised(error):
    @ctypes.CFUNCTYPE(None)
    def interrupted():
        raise KeyboardInterrupt

    report = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), compiled.interruptible():
        interrupted()
        if error:
            raise error
    assert sys.unraisablehook is report
    with pytest.raises(RuntimeError, match="of numba"), compiled.interruptible():
        raise RuntimeError("of numba")
