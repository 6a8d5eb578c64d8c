"""Shared fixtures. Tests that need something that a plain checkout lacks are skipped with the reason printed."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.poison import poisoned
from hypothesis import settings

# The same examples on every run, and no verdict from a slow machine or a first compile.
settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")

# A shell starts what runs in the background with Ctrl-C ignored; tests of Ctrl-C need it as a terminal gives it.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Files whose slow tests take minutes; they begin first, so that none of them runs alone at the end.
LONG = ("guard/test_networks.py", "app/test_kills.py", "app/test_full_disk.py")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without Python's collector of garbage, and keep what stays out of its later rounds.

    It took a third of the 21 s of a collection, again and again over a million objects that live until the end.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG))


@pytest.fixture(scope="session", autouse=True)
def uninitialised_arrays() -> Iterator[None]:
    """Fill the arrays of `np.empty` and `torch.empty` with NaN, so that no test passes by what memory held."""
    with poisoned():
        yield


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session, the same for all processes that test side by side."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache(shared_folder: Path) -> Iterator[Path]:
    """The user's cache, in a folder of the tests' own: the digits are made once a session, kernels compiled before."""
    from neurosim.kernels.tools.cache_folder import cache_folder

    folder = shared_folder / "cache"
    (folder / "neurosim").mkdir(parents=True, exist_ok=True)
    kernels = cache_folder()
    # Processes that test side by side all come here.
    with suppress(FileExistsError):
        if kernels is not None:
            (folder / "neurosim" / "kernels").symlink_to(kernels.parent, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        # Processes that compile beside a command would take the cores of other tests.
        patch.setenv("NEUROSIM_COMPILE_AHEAD", "0")
        yield folder


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder and no shared data."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NEUROSIM_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread of torch: small nets gain nothing from more, and tests run side by side."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real recordings named by NEUROSIM_DATA."""
    root = os.environ.get("NEUROSIM_DATA")
    if not root:
        pytest.skip("NEUROSIM_DATA is not set: it names the folder with the real recordings")
    path = Path(root).resolve()
    if not path.is_dir():
        pytest.fail(f"NEUROSIM_DATA names {path}, which is not a folder")
    return path


@pytest.fixture(scope="session")
def chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on the PATH (Debian: apt-get install chromium)")
    return path
