"""The architecture: a module imports only from floors below its own and in no circle, and the start-up stays light."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The rooms, each with those that it may import; the tree is the picture of the imports.
ROOMS = {
    "kernels": [],
    "base": [],
    "data": ["base", "kernels"],
    "datasets": ["data", "base", "kernels"],
    "network": ["data", "base", "kernels"],
    "engine": ["network", "data", "base", "kernels"],
    "memory": ["network", "data", "base", "kernels"],
    "language": ["data", "base", "kernels"],
    "learning": ["language", "memory", "engine", "network", "datasets", "data", "base", "kernels"],
    "app": ["learning", "language", "memory", "engine", "network", "datasets", "data", "base", "kernels"],
}
# Folders at the root, reached through links in the package.
LINKED = ("kernels", "datasets")
KERNEL_IMPORTS = {"numpy", "numba", "llvmlite", "torch", "triton", *sys.stdlib_module_names}


def dotted(path: Path) -> str:
    """The module's name: "neurosim.data.files", and "neurosim.kernels.io.faults" of a file in a linked folder."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] in LINKED:
        parts = ["neurosim", *parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def python_files(top: Path) -> Iterator[Path]:
    """Python files below a folder, without following links."""
    for folder, _, files in os.walk(top):
        yield from (Path(folder, name) for name in files if name.endswith(".py"))


MODULES = {dotted(p): p for folder in ("neurosim", *LINKED) for p in sorted(python_files(ROOT / folder))}
KERNELS = [name for name in MODULES if name.startswith("neurosim.kernels.")]


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


@functools.cache
def imports(name: str) -> frozenset[str]:
    """Absolute names of the modules and packages that a module imports, in functions and for types alone too."""
    path = MODULES[name]
    if path.name == "__init__.py":
        package = name.split(".")
    else:
        package = name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                start = package[: len(package) - node.level + 1]
            else:
                start = []
            base = ".".join([*start, *([node.module] if node.module else [])])
            # `from .a import b` names a module, or a thing in the module a.
            found |= {
                whole if (whole := f"{base}.{a.name}") in MODULES or not node.module else base for a in node.names
            }
    return frozenset(found)


def circles() -> list[set[str]]:
    """Groups of modules that reach each other through their imports (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for target in imports(name) & MODULES.keys():
            if target not in order:
                visit(target)
            if target in stack:
                low[name] = min(low[name], low[target])
        if low[name] == order[name]:
            group: set[str] = set()
            while name not in group:
                group.add(stack.pop())
            if len(group) > 1 or name in imports(name):
                found.append(group)

    for name in MODULES:
        if name not in order:
            visit(name)
    return found


@pytest.mark.parametrize("own", ROOMS)
def test_imports_only_rooms_below(own: str) -> None:
    below = {own, "__version__", *ROOMS[own]}
    wrong = [
        f"{name} imports {target}"
        for name in MODULES
        if room(name) == own
        for target in imports(name)
        if target.startswith("neurosim.") and room(target) not in below
    ]
    assert wrong == []


def test_the_package_holds_its_rooms_and_nothing_else() -> None:
    entries = {name.split(".")[1] for name in MODULES if name != "neurosim"}
    assert entries == {*ROOMS, "__main__"}


def test_no_module_imports_itself_through_others() -> None:
    assert [sorted(group) for group in circles()] == []


def test_kernels_know_nothing_of_neurosim() -> None:
    wrong = [
        f"{name} imports {target}"
        for name in KERNELS
        for target in imports(name)
        if target.split(".")[0] not in KERNEL_IMPORTS and not target.startswith("neurosim.kernels.")
    ]
    assert wrong == []
    absolute = [name for name in KERNELS if "neurosim.kernels" in MODULES[name].read_text()]
    assert absolute == [], "imports between kernels are relative"


TEST_MODULES = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_nothing_imports_a_module_of_tests(folder: str) -> None:
    """What two of them need lies in `tests/helpers` or is a fixture of `conftest.py`."""
    for path in python_files(ROOT / folder):
        text = path.read_text()
        # Trees of those files alone that mention one: all of them take 2 s.
        if TEST_MODULES.isdisjoint(re.findall(r"\btest_\w+", text)):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
                names.append(getattr(node, "module", None) or "")
                parts = [part for name in names for part in name.split(".")]
                assert not any(part.startswith("test_") for part in parts), f"{path} imports {' '.join(names)}"


@pytest.mark.parametrize("folder", LINKED)
def test_linked_folders_are_no_packages(folder: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: a source distribution has no links")
    link = ROOT / "neurosim" / folder
    assert link.is_symlink() and link.resolve() == ROOT / folder
    assert not (link / "__init__.py").exists(), "an __init__.py here would shadow the public package of that name"


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("neurosim.datasets.")])
def test_datasets_import_neurosim_by_its_name(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text())
    assert all(n.level <= 1 for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)), "`from ..` leaves the folder"


@pytest.mark.parametrize("module", ["neurosim", "neurosim.app.cli"])
def test_start_up_is_light(module: str) -> None:
    heavy = {"torch", "triton", "numba", "sklearn", "matplotlib", "h5py", "pydantic", "tonic", "scipy"}
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {heavy!r}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not loaded
