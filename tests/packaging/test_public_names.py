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
    rooms = ["base", "data", "network", "engine", "memory", "learning", "language", "app"]
    code = "import sys\n" + "".join(f"import neurosim.{room}\n" for room in rooms)
    code += "print({'numba', 'torch', 'h5py'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
