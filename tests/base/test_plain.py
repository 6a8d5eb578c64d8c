"""Dataclasses to plain trees and back: nothing is lost, and what is of another type is refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from neurosim.base import NeurosimInputError
from neurosim.base.plain import Record, from_plain, to_plain


@dataclass(frozen=True)
class Layer:
    size: int
    tau: float = 0.02
    kind: Literal["LIF", "LI"] = "LIF"


@dataclass(frozen=True)
class Settings(Record):
    name: str
    layers: tuple[Layer, ...] = ()
    bounds: tuple[int, float] | None = None
    windows: int | tuple[int, ...] = 8
    notes: Mapping[str, float | None] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    quick: bool = False
    units: Sequence[int] | None = None


LAYERS = (Layer(3), Layer(4, 1.0, "LI"))
FULL = Settings("a", LAYERS, (1, 2.0), (2, 5), {"x": None, "y": 2.5}, {"deep": [1]}, True, (7, 3))


@pytest.mark.parametrize("settings", [Settings("a"), FULL])
def test_settings_survive_json(settings: Settings) -> None:
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert from_plain(Settings, settings.to_dict()) == settings


def test_numpy_and_paths_become_plain() -> None:
    plain = to_plain({"a": np.float64(0.5), "b": np.int32(2), "c": np.arange(2), "d": Path("x"), "e": (np.True_,)})
    assert json.dumps(plain) == '{"a": 0.5, "b": 2, "c": [0, 1], "d": "x", "e": [true]}'


def test_arrays_go_where_they_are_put() -> None:
    found: dict[str, NDArray] = {}
    tree = to_plain({"a": [np.arange(3)]}, "net", lambda array, name: found.setdefault(name, array).size)
    assert tree == {"a": [3]} and list(found) == ["net.a[0]"]


@dataclass(frozen=True)
class Arrays:
    weights: NDArray[np.float32]
    bias: NDArray | None = None


def test_arrays_are_read_from_lists_and_checked() -> None:
    read = from_plain(Arrays, {"weights": [[1, 2]], "bias": None})
    assert read.weights.dtype == np.float32 and read.weights.tolist() == [[1, 2]] and read.bias is None
    weights = np.ones(2, np.float32)
    assert from_plain(Arrays, {"weights": weights, "bias": np.ones(3)}).weights is weights
    for wrong, message in ((np.ones(2), "must be an array of float32 (got float64)"), ([[1], [1, 2]], "of numbers")):
        with pytest.raises(NeurosimInputError) as error:
            from_plain(Arrays, {"weights": wrong})
        assert str(error.value).startswith("Arrays.weights: ") and message in str(error.value)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([], "Settings: must be a table (got [])"),
        ({}, "Settings: needs the fields name (got none)"),
        ({"name": "a", "layer": []}, "Settings: unknown key 'layer'; did you mean 'layers'?"),
        ({"name": 1}, "Settings.name: must be a string (got 1)"),
        ({"name": "a", "quick": 1}, "Settings.quick: must be true or false (got 1)"),
        ({"name": "a", "layers": 1}, "Settings.layers: must be a list (got 1)"),
        ({"name": "a", "layers": [{"size": True}]}, "Settings.layers[0].size: must be an integer (got True)"),
        ({"name": "a", "layers": [{"size": 1, "tau": "x"}]}, "Settings.layers[0].tau: must be a number (got 'x')"),
        ({"name": "a", "layers": [{"size": 1, "kind": "IF"}]}, "kind: must be 'LIF' or 'LI' (got 'IF')"),
        ({"name": "a", "bounds": [1]}, "Settings.bounds: must hold 2 values (got [1])"),
        ({"name": "a", "windows": 0.5}, "Settings.windows: must be an integer or"),
        ({"name": "a", "notes": {"x": "y"}}, "Settings.notes.x: must be a number (got 'y')"),
        ({"name": "a", "layers": [{"size": 1, "tau": 10**400}]}, "Settings.layers[0].tau: must be a number"),
    ],
)
def test_other_trees_are_refused(tree: object, message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        from_plain(Settings, tree)
    assert message in str(error.value)


def test_what_has_no_plain_form_is_refused() -> None:
    with pytest.raises(NeurosimInputError, match=r"net\.f: a function has no plain form"):
        to_plain({"f": to_plain}, "net")
