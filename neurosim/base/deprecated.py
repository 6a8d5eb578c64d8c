"""Former names, which work for one more release with a `DeprecationWarning` that says the new one."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

# By package: the former name and the present one.
RENAMED: dict[str, dict[str, str]] = {
    "neurosim.language.attention": {
        "Layer": "MixerSpec",
        "Place": "Depth",
        "Progress": "TrainingProgress",
        "Training": "LanguageTraining",
    },
    "neurosim.learning.hlop": {"Training": "HLOPTraining"},
    "neurosim.learning.layers": {
        "AdaptiveLIF": "SEAdLIFLayer",
        "CurrentLIF": "CurrentLIFLayer",
        "LIF": "LIFLayer",
        "Quantity": "UnitParameter",
    },
    "neurosim.memory.dendrites": {"Tally": "HitCount"},
    "neurosim.data.files": {"States": "StateSamples", "read_states": "read_samples"},
    "neurosim.memory.macrocolumn": {
        "Answer": "ColumnOutput",
        "Batch": "ColumnBatch",
        "Memory": "ColumnMemory",
        "Trace": "ColumnTrace",
        "ink": "on_off_pixels",
        "recogniser": "build_recogniser",
        "spectrum": "on_off_spectrum",
        "windows": "on_off_windows",
    },
    "neurosim.base.measure": {"Layer": "LayerCounts"},
    "neurosim.learning.training": {
        "Batch": "EventBatch",
        "Course": "TrainingState",
        "Design": "NetworkSpec",
        "Schedule": "TrainingSpec",
        "Told": "EpochProgress",
        "settled": "has_exact_sums",
    },
}


def find(package: str, name: str) -> Any:
    """Return what `package` exports under the present name of the former `name`.

    Raises:
        AttributeError: for a name that the package never had.
    """
    present = RENAMED.get(package, {}).get(name)
    if present is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    # The caller's line: two calls of this package lie between.
    _warn(f"{package}.{name}", f"{package}.{present}", 4)
    return getattr(importlib.import_module(package), present)


def former_names(package: str) -> Callable[[str], Any]:
    """Return a `__getattr__` (PEP 562) of a package that knows its former names and no others."""
    return lambda name: find(package, name)


def former_method(name: str, present: str) -> Callable[..., Any]:
    """Return a method that calls the method `present` of the object; `name` is the former `Class.method`."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        _warn(name, f"{type(self).__name__}.{present}", 3)
        return getattr(self, present)(*args, **kwargs)

    return method


def _warn(former: str, present: str, level: int) -> None:
    warnings.warn(f"{former} is now {present}; the former name goes with the next release", DeprecationWarning, level)
