"""Public names loaded from their modules on first use, so that importing neurosim takes milliseconds."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping

from .errors import NeurosimMissingError


def lazy_getattr(package: str, public: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package (PEP 562) whose names lie in the modules that `public` says.

    Raises:
        AttributeError: when asked for a name that is not public.
        NeurosimMissingError: for a name whose module needs torch where it is not installed.
    """

    def find(name: str) -> object:
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f".{public[name]}", package)
        except ImportError as error:
            if error.name != "torch":
                raise
            raise NeurosimMissingError(
                f"{package}.{name}: needs torch ({error}); run: pip install 'neurosim-spiking[train]'"
            ) from None
        value = getattr(module, name)
        # Kept, so that the next use is a plain attribute.
        setattr(sys.modules[package], name, value)
        return value

    return find
