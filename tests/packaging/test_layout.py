"""The architecture: a module imports only from floors below its own, and heavy packages stay out of the start-up."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = {
    0: ["errors", "kernels"],
    1: ["spikes", "lazy", "plain", "random", "values"],
    2: ["files", "neurons", "synapses", "plasticity", "sdr", "measure", "data"],
    3: ["network", "datasets", "dendrites", "macrocolumn", "associative", "attention"],
    4: ["engine", "layers"],
    5: ["liquid", "hlop", "training", "convert", "interop", "description"],
    6: ["continual"],
    7: ["report"],
    8: ["runs"],
    9: ["cli"],
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names}
OUTSIDE = {"__init__", "__main__"}
MODULES = sorted(p for p in (ROOT / "neurosim").rglob("*.py") if not p.is_symlink()) + sorted(
    p for folder in ("kernels", "datasets") for p in (ROOT / "neurosim" / folder).glob("*.py")
)
KERNEL_IMPORTS = {"numpy", "numba", "llvmlite", "torch", "triton", *sys.stdlib_module_names}


def dotted(path: Path) -> list[str]:
    return list(path.relative_to(ROOT).with_suffix("").parts)


def room(path: Path) -> str:
    return dotted(path)[1]


def imports(path: Path) -> list[list[str]]:
    """Absolute dotted names of everything a file imports, inside functions too."""
    here = dotted(path)
    package = here[:-1]
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            # `from . import a` and `from neurosim import a` name modules; `from .a import b` names things in one.
            named = node.module and base != ["neurosim"]
            found += [base] if named else [[*base, alias.name] for alias in node.names]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: ".".join(dotted(p)))
def test_imports_only_lower_floors(path: Path) -> None:
    name = room(path)
    if name in OUTSIDE:
        return
    assert name in FLOOR, f"{name} has no floor: give it one in {__file__}"
    for target in imports(path):
        if target[0] == "neurosim" and len(target) > 1 and target[1] not in {name, "__version__"}:
            assert FLOOR[target[1]] < FLOOR[name], f"{path} (floor {FLOOR[name]}) imports {'.'.join(target)}"


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) == "kernels"], ids=lambda p: p.stem)
def test_kernels_know_nothing_of_neurosim(path: Path) -> None:
    for target in imports(path):
        assert target[0] in KERNEL_IMPORTS or target[:2] == ["neurosim", "kernels"], ".".join(target)


@pytest.mark.parametrize("folder", ["kernels", "datasets"])
def test_linked_folders_are_no_packages(folder: str) -> None:
    link = ROOT / "neurosim" / folder
    assert link.is_symlink() and link.resolve() == ROOT / folder
    assert not (link / "__init__.py").exists(), "an __init__.py here would shadow the public package of that name"


@pytest.mark.parametrize("module", ["neurosim", "neurosim.cli"])
def test_start_up_is_light(module: str) -> None:
    heavy = {"torch", "triton", "numba", "sklearn", "matplotlib", "h5py", "pydantic", "tonic", "scipy"}
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {heavy!r}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not loaded
