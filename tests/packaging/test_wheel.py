"""The wheel carries the linked folders and works outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINKED = ("kernels", "datasets")


def build_wheel(checkout: Path, out: Path) -> Path:
    # setuptools puts what earlier builds left there into the wheel, also modules that are gone.
    shutil.rmtree(checkout / "build" / "lib", ignore_errors=True)
    # The environment of the tests has the tools of the build: another one, and their download, would take most of it.
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(checkout)]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    return next(out.glob("neurosim_spiking-*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def linkless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone as systems without symbolic links have it: the links are small files that hold a path."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is nothing to clone")
    clone = tmp_path_factory.mktemp("linkless") / "clone"
    command = ["git", "clone", "--quiet", "-c", "core.symlinks=false", str(ROOT), str(clone)]
    subprocess.run(command, check=True, capture_output=True)
    assert all((clone / "neurosim" / folder).is_file() for folder in LINKED)
    return clone


@pytest.mark.slow
def test_wheel_holds_every_module_and_profile(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    sources = [p for p in (ROOT / "neurosim").rglob("*") if p.suffix in {".py", ".toml", ".css"}]
    linked = {f"neurosim/{p.relative_to(ROOT)}" for folder in LINKED for p in (ROOT / folder).rglob("*.py")}
    assert linked
    missing = ({str(p.relative_to(ROOT)) for p in sources} | linked) - inside
    assert not missing


@pytest.mark.slow
def test_demo_runs_from_the_wheel_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    work = tmp_path / "work"
    work.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    environment.pop("NEUROSIM_DATA", None)
    where = [sys.executable, "-c", "import neurosim; print(neurosim.__file__)"]
    loaded = subprocess.run(where, cwd=work, env=environment, capture_output=True, text=True, check=True).stdout
    assert loaded.startswith(str(site))
    few = ["--set", "data.train_limit=30", "--set", "data.limit=20"]
    demo = [sys.executable, "-m", "neurosim", "demo", *few, "--quiet"]
    done = subprocess.run(demo, check=False, cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(work.glob("runs/*/report.html"))


def test_clone_without_links_runs(linkless: Path, tmp_path: Path) -> None:
    code = """
import neurosim.datasets.digits
from neurosim.kernels.tools.random import threefry_reference
from neurosim.kernels.memory.packed.launch import overlap
from neurosim.memory import SDR
one = SDR.random(500, 10, seed=1)
assert overlap(one.packed(), one.packed()[None])[0] == 10
print(neurosim.datasets.digits.__file__)
"""
    environment = {**os.environ, "PYTHONPATH": str(linkless)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(linkless))


@pytest.mark.slow
def test_wheel_of_a_clone_without_links_is_the_same(linkless: Path, wheel: Path, tmp_path: Path) -> None:
    names = [sorted(zipfile.ZipFile(w).namelist()) for w in (wheel, build_wheel(linkless, tmp_path))]
    assert names[0] == names[1]


@pytest.mark.slow
def test_the_source_distribution_runs_its_own_tests(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("neurosim_spiking-*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.is_dir())
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    chosen = ["tests/data/test_spikes.py", "tests/packaging/test_docs.py", "tests/packaging/test_layout.py"]
    # Programs of pages and walks run in the checkout; here it is the files that are looked for.
    left_out = "not programs_of_a_page and not order_of_calls"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-k", left_out, *chosen]
    done = subprocess.run(command, check=False, cwd=unpacked, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
