"""The wheel carries the linked folders and works outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    return next(out.glob("neurosim_spiking-*.whl"))


def test_wheel_holds_every_module_and_profile(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    sources = [p for p in (ROOT / "neurosim").rglob("*") if p.suffix in {".py", ".toml", ".css"}]
    linked = [p for folder in ("kernels", "datasets") for p in (ROOT / "neurosim" / folder).glob("*.py")]
    assert linked
    missing = {str(p.relative_to(ROOT)) for p in [*sources, *linked]} - inside
    assert not missing


def test_demo_runs_from_the_wheel_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True)
    environment = {**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("NEUROSIM_DATA", None)
    where = [sys.executable, "-c", "import neurosim; print(neurosim.__file__)"]
    loaded = subprocess.run(where, cwd=work, env=environment, capture_output=True, text=True, check=True).stdout
    assert loaded.startswith(str(site))
    demo = [sys.executable, "-m", "neurosim", "demo", "--quiet"]
    done = subprocess.run(demo, check=False, cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(work.glob("runs/*/report.html"))
