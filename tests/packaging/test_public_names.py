"""Every public name can be imported, each room has one face, and a face loads what it names on first use."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import neurosim

PACKAGES = sorted(
    "neurosim" + "".join(f".{part}" for part in path.parent.relative_to(Path(neurosim.__file__).parent).parts)
    for path in Path(neurosim.__file__).parent.rglob("__init__.py")
)


# The rooms, each with one face; users reach everything else by its module.
ROOMS = ("base", "data", "network", "engine", "memory", "learning", "language", "app")
FACES = ("neurosim", *(f"neurosim.{room}" for room in ROOMS))
MAX_NAMES = 40
MAX_PUBLIC = 250


def test_only_rooms_have_faces() -> None:
    assert [package for package in PACKAGES if hasattr(importlib.import_module(package), "__all__")] == sorted(FACES)


def test_faces_are_small() -> None:
    counts = {face: len(importlib.import_module(face).__all__) for face in FACES}
    assert max(counts.values()) <= MAX_NAMES, counts
    assert sum(counts.values()) < MAX_PUBLIC, counts


@pytest.mark.parametrize("room", ROOMS)
def test_names_of_the_first_hour_have_one_home(room: str) -> None:
    """The catalogue and plots alone are both: a module of a room, and a name of the first hour."""
    assert set(neurosim.__all__) & set(importlib.import_module(f"neurosim.{room}").__all__) <= {"catalog", "plot"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    names = getattr(module, "__all__", [])
    assert len(set(names)) == len(names)
    for name in names:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


def test_public_names_are_loaded_on_first_use() -> None:
    code = "import sys\n" + "".join(f"import neurosim.{room}\n" for room in ROOMS)
    code += "print({'numba', 'torch', 'h5py'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
