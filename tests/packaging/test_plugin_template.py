"""The template of a package of plugins: built, installed, used, broken and removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples" / "plugin"
NETWORK = """
[simulation]
duration = 0.05
[[population]]
name = "cells"
shape = 20
model = "QuadraticIF"
[[stimulus]]
target = "cells"
rate = 900.0
weight = 0.3
"""


def run(site: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `neurosim WORDS` in a process that has the packages of `site` beside its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    command = [sys.executable, "-m", "neurosim", *words]
    done = subprocess.run(command, check=False, cwd=site.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Build a wheel of a copy of the template, and install it."""
    source = tmp_path / "source"
    shutil.copytree(TEMPLATE, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels = ["--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *wheels, "--wheel-dir", tmp_path, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("neurosim_template-*.whl")
    folder = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", folder, wheel], check=True)
    (tmp_path / "net.toml").write_text(NETWORK)
    return folder


@pytest.mark.slow
def test_the_template_is_used_broken_and_removed(site: Path) -> None:
    listed = run(site, "datasets", "list").stdout
    assert "flashes" in listed and "digits" in listed
    simulated = run(site, "simulate", "flashes", "--set", "liquid.neurons=60", "--json", "--quiet", "--out", "run")
    assert json.loads(simulated.stdout)["accuracy"] > 0.4  # of three classes
    manifest = json.loads((site.parent / "run" / "manifest.json").read_text())
    assert "neurosim-template 0.1.0" in json.dumps(manifest)
    network = json.loads(run(site, "simulate", "--config", "net.toml", "--json", "--quiet", "--out", "net").stdout)
    assert network["populations"][0]["spikes"] > 0
    learners = run(site, "continual", "list").stdout
    assert "means" in learners and "darker" in learners

    # Broken: an error where it is used, a warning in lists, and nothing elsewhere.
    broken = site / "neurosim_template" / "flashes.py"
    broken.write_text("raise RuntimeError('no such camera')\n")
    wrong = run(site, "simulate", "flashes", code=2)
    assert wrong.stderr.splitlines()[-1].endswith(
        "datasets 'flashes': neurosim-template 0.1.0 cannot be imported (RuntimeError: no such camera); update or "
        "uninstall it"
    )
    listed = run(site, "datasets", "list")
    assert "digits" in listed.stdout and "no such camera" in listed.stderr
    run(site, "simulate", "--config", "net.toml", "--quiet", "--out", "again")

    # Removed: as if it had never been there.
    shutil.rmtree(site)
    site.mkdir()
    assert "flashes" not in run(site, "datasets", "list").stdout
    assert "flashes: no dataset of this name" in run(site, "simulate", "flashes", code=2).stderr


def test_the_template_names_what_is_there() -> None:
    """Each entry point names a module of the template and an object in it, and a group of the package."""
    if sys.version_info < (3, 11):
        import tomli as tomllib
    else:
        import tomllib
    from neurosim.base.plugins import GROUPS

    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]
    groups = project["entry-points"]
    assert {name.removeprefix("neurosim.") for name in groups} == set(GROUPS) - {"kinds"}
    for entries in groups.values():
        for value in entries.values():
            module, _, name = value.partition(":")
            source = (TEMPLATE / "src" / Path(*module.split("."))).with_suffix(".py").read_text()
            assert not name or f"class {name}(" in source
