"""Shared fixtures. Tests that need something a plain checkout lacks are skipped with the reason printed."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every run, and no verdict from a slow machine or a first compile.
settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")

# A shell starts what runs in the background with Ctrl-C ignored; tests of Ctrl-C need it as a terminal gives it.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
