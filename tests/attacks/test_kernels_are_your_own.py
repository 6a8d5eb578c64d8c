"""Promise: compiled kernels, which are code, are loaded only from a folder that nobody else can write."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from numba.core import config

from neurosim.kernels.tools.cache_folder import cache_folder


@pytest.fixture(autouse=True)
def chosen_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    cache_folder.cache_clear()
    yield
    cache_folder.cache_clear()


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
@pytest.mark.parametrize("rights", [0o770, 0o702, 0o777])
def test_a_folder_that_others_can_write(rights: int, tmp_path: Path) -> None:
    folder = cache_folder()
    assert folder is not None and folder.is_relative_to(tmp_path)
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    for which in (folder, folder.parent):
        which.chmod(rights)
        cache_folder.cache_clear()
        assert cache_folder() is None
        which.chmod(0o700)


def test_a_folder_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() is not None
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    cache_folder.cache_clear()
    assert cache_folder() is None
