"""The import name `neurosim` beside an unrelated distribution, and beside a checkout of that name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OTHER = '"""Another package."""\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages with the first files of ours: those that run when anything of it is imported."""
    for name in ("__init__.py", "base/__init__.py", "base/distribution.py", "base/lazy.py", "base/errors.py"):
        target = tmp_path / "neurosim" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "neurosim" / name, target)
    (tmp_path / "neurosim_spiking-0.1.0.dist-info").mkdir()
    return tmp_path


def imported(site: Path, code: str) -> tuple[int, str]:
    """Return the exit code and the text on stderr of a program that finds its packages in a folder."""
    words = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=site)
    return done.returncode, done.stderr


def test_alone_it_says_nothing(site: Path) -> None:
    assert imported(site, "import neurosim") == (0, "")


def test_the_metadata_of_the_other_distribution_beside_ours_is_a_line(site: Path) -> None:
    (site / "neurosim-0.1.0.dist-info").mkdir()
    code, text = imported(site, "import neurosim")
    assert code == 0 and text.count("\n") == 1
    assert "unrelated distribution 'neurosim'" in text and "pip uninstall neurosim neurosim-spiking" in text


@pytest.mark.parametrize("replaced", [True, False])
def test_a_replaced_or_removed_init_is_an_error_that_repairs(site: Path, replaced: bool) -> None:
    first = site / "neurosim" / "__init__.py"
    if replaced:
        first.write_text(OTHER)
    else:
        first.unlink()
    code, text = imported(site, "import neurosim.base")
    assert code == 1
    last = text.splitlines()[-1]
    assert last.startswith("ImportError: neurosim: __init__.py in ") and "pip install neurosim-spiking" in last


def test_a_script_beside_a_checkout_called_neurosim_imports_the_package(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    clone = tmp_path / "neurosim"
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "neurosim/py.typed"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    (clone / "neurosim" / "__init__.py").write_text("WHOSE = 'ours'\n")
    for name in ("kernels", "datasets"):
        (clone / name).mkdir()
        (clone / name / "one.py").touch()
    build = "from setuptools import build_meta; print(build_meta.build_editable('dist'))"
    subprocess.run([sys.executable, "-c", build], cwd=clone, check=True, capture_output=True)
    (wheel,) = (clone / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    script = tmp_path / "script.py"
    script.write_text(
        f"import site\nsite.addsitedir({str(tmp_path / 'site')!r})\nfrom neurosim import WHOSE\nprint(WHOSE)\n"
    )
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [sys.executable, "-S", script]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=tmp_path, env=alone)
    assert (done.returncode, done.stdout) == (0, "ours\n"), done.stderr


def test_a_python_without_what_the_package_needs_gets_a_line(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom neurosim import Spikes\n")
    # No packages of this environment.
    for words in ([script], ["-m", "neurosim"]):
        done = subprocess.run([sys.executable, "-S", *words], check=False, capture_output=True, text=True, cwd=ROOT)
        last = done.stderr.splitlines()[-1]
        assert done.returncode == 1, done.stderr
        assert re.search(r": needs \w+, which \S+ does not have; with its pip run: pip install -e ", last), last


def test_an_extra_comes_from_the_checkout_or_else_from_the_index(tmp_path: Path) -> None:
    folder = tmp_path / "a site" / "neurosim" / "base"
    folder.mkdir(parents=True)
    (folder / "distribution.py").write_text((ROOT / "neurosim" / "base" / "distribution.py").read_text())
    program = [sys.executable, "-c", "import distribution; print(distribution.install('train'))"]
    said = subprocess.run(program, check=True, cwd=folder, capture_output=True, text=True).stdout
    assert said == "pip install 'neurosim-spiking[train]'\n"
    (tmp_path / "a site" / "pyproject.toml").touch()
    said = subprocess.run(program, check=True, cwd=folder, capture_output=True, text=True).stdout
    assert said == f"pip install -e '{tmp_path / 'a site'}[train]'\n"
