"""Public names loaded from their modules on first use, so that importing neurosim takes milliseconds."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from typing import Any

from .distribution import needs
from .errors import NeurosimMissingError


def lazy_exports(package: str) -> tuple[Callable[[str], Any], list[str]]:
    """Return `__getattr__` (PEP 562) and `__all__` of a package.

    The package lists its names once, for type checkers and for this function, as `from .module import name as name`:
    at top level if they are loaded at once, below `if TYPE_CHECKING:` if they are loaded on first use.

    The `__getattr__` raises:
        AttributeError: for a name that is not public.
        NeurosimMissingError: for a name whose module needs a package that is not installed, such as torch.
    """
    spec = sys.modules[package].__spec__
    source = spec.loader.get_source(package)  # type: ignore[union-attr]
    tree = ast.parse(source)
    blocks = [node.body for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    eager = _modules(tree.body)
    lazy = _modules([node for block in blocks for node in block])

    def find(name: str) -> Any:
        if name not in lazy:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(lazy[name], package)
            if module.__name__ == package:
                # `from . import name`: a module of the package.
                module = importlib.import_module(f".{name}", package)
        except ModuleNotFoundError as error:
            # A module of ours that is not there is a fault of ours.
            if error.name is None or error.name.partition(".")[0] == package.partition(".")[0]:
                raise
            raise NeurosimMissingError(needs(f"{package}.{name}", error)) from None
        if module.__name__ == f"{package}.{name}":
            value = module
        else:
            value = getattr(module, name)
        # The next use is a plain attribute.
        setattr(sys.modules[package], name, value)
        return value

    return find, sorted([*eager, *lazy])


def _modules(nodes: list[ast.stmt]) -> dict[str, str]:
    """Return the module, relative to the package, of each name that is imported as itself."""
    return {
        alias.name: "." * node.level + (node.module or "")
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.level > 0
        for alias in node.names
        if alias.asname == alias.name
    }
