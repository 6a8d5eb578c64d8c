"""Classes from the text of their modules, which no file holds."""

from __future__ import annotations

import functools
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import sys
from typing import Any

from ....kernels.tools import written


class _SourceLoader(importlib.abc.InspectLoader):
    def __init__(self, source: str) -> None:
        self.source = source

    def get_source(self, fullname: str) -> str:
        return self.source


@functools.cache
def class_of(source: str, name: str) -> type[Any]:
    """Return the class of a module that was written here: its text holds checked names, numbers and operators only.

    The same text is the same class, and its compiled code is cached by the text.
    """
    # Compiled code bears the name of its module: two texts in one process must not have the same.
    label = f"neurosim_equations_{hashlib.sha256(source.encode()).hexdigest()[:20]}"
    loader = _SourceLoader(source)
    spec = importlib.machinery.ModuleSpec(label, loader, origin=f"<{label}>")
    module = importlib.util.module_from_spec(spec)
    sys.modules[label] = module  # dataclasses look it up
    linecache.cache[f"<{label}>"] = (len(source), None, source.splitlines(keepends=True), f"<{label}>")
    loader.exec_module(module)
    written.texts[label] = source
    model: type[Any] = getattr(module, name)
    model.source = source
    return model
