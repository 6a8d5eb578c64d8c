"""Every public name can be imported; former names work and say the new one."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import neurosim
from neurosim.base import deprecated

PACKAGES = sorted(
    "neurosim" + "".join(f".{part}" for part in path.parent.relative_to(Path(neurosim.__file__).parent).parts)
    for path in Path(neurosim.__file__).parent.rglob("__init__.py")
)
FORMER = [(package, *names) for package, table in deprecated.RENAMED.items() for names in table.items()]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    names = getattr(module, "__all__", [])
    assert len(set(names)) == len(names)
    for name in names:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


@pytest.mark.parametrize(("package", "former", "present"), FORMER)
def test_a_former_name_says_the_new_one(package: str, former: str, present: str) -> None:
    module = importlib.import_module(package)
    assert former not in getattr(module, "__all__", [])
    with pytest.warns(DeprecationWarning, match=f"^{package}.{former} is now {package}.{present}; ") as caught:
        assert getattr(module, former) is getattr(module, present)
    assert caught[0].filename == __file__


def test_a_former_method_calls_the_present_one() -> None:
    pytest.importorskip("torch")
    from neurosim.learning import NetworkSpec, SpikingNet

    nets = [SpikingNet((2, 4, 4), 3, NetworkSpec(hidden=(5,)), 0.01, seed=0) for _ in range(2)]
    nets[0].round_for_exact_sums()
    with pytest.warns(
        DeprecationWarning, match=r"^SpikingNet.settle is now SpikingNet.round_for_exact_sums; "
    ) as caught:
        nets[1].settle()
    assert caught[0].filename == __file__
    for a, b in zip(*(net.state_dict().values() for net in nets), strict=True):
        assert a.equal(b)


def test_public_names_are_loaded_on_first_use() -> None:
    rooms = ["base", "data", "network", "engine", "memory", "learning", "language", "app"]
    code = "import sys\n" + "".join(f"import neurosim.{room}\n" for room in rooms)
    code += "print({'numba', 'torch', 'h5py'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_present_names_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for package, _, present in FORMER:
            getattr(importlib.import_module(package), present)
