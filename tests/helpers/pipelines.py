"""A pipeline on few digits, with the simplest readout there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from helpers.digits import write_few
from numpy.typing import NDArray

from neurosim.engine import LayerCounts
from neurosim.engine.description import windowed
from neurosim.network.windowed import Arrivals, Output, WindowModel, WindowState, WindowTotals, array_of

WINDOW = 0.16


@dataclass(frozen=True)
class Tally(WindowModel):
    """Counts how often each input came with each class, and answers by naive Bayes on the recording so far."""

    inputs: int
    classes: int

    @property
    def receptors(self) -> Mapping[str, int]:
        return {"input": self.inputs, "label": self.classes, "task": 1}

    @property
    def outputs(self) -> int:
        return self.classes

    def start(self) -> WindowState:
        return TallyState(self)


class TallyState(WindowState):
    def __init__(self, model: Tally) -> None:
        self.model = model
        self.counts = np.zeros((model.classes, model.inputs))
        self.active = np.zeros(model.inputs)
        self.tasks = np.zeros(1, np.int64)

    def begin(self) -> None:
        self.active[:] = 0

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        self.active[arrivals["input"].units] = 1
        label = arrivals["label"].units
        assert len(label) <= 1
        self.tasks += len(arrivals["task"].units)
        if learn and len(label):
            self.counts[label[0]] += self.active
        log = np.log((self.counts + 0.1) / (self.counts + 0.1).sum(axis=1, keepdims=True))
        winner = np.array([np.argmax(log @ self.active)], np.int32)
        return Output(winner, int(self.active.sum()) * self.model.classes)

    def arrays(self) -> dict[str, NDArray]:
        return {name: getattr(self, name).copy() for name in ("counts", "active", "tasks")}

    def restore(self, arrays: Mapping[str, NDArray]) -> None:
        for name in ("counts", "active", "tasks"):
            getattr(self, name)[...] = array_of(arrays, name, getattr(self, name))

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        size = self.counts.size
        return LayerCounts(
            name=name,
            inputs=self.model.inputs,
            weights=size,
            nonzero_weights=int(np.count_nonzero(self.counts)),
            weight_bits=64,
            binary_input=True,
            state_bytes=self.active.nbytes,
            parameter_bytes=self.counts.nbytes,
            **totals.counts(outputs=self.model.classes, dense_operations=size, membranes=self.model.classes),
        )


def kernel() -> list[Any]:
    """Horizontal and vertical edges, 8 x 8, of both polarities."""
    half = np.repeat([1.0, -1.0], 4)
    one = np.broadcast_to(half[:, None], (8, 8))
    return [[one.tolist()] * 2, [one.T.tolist()] * 2]


LEVEL = {
    "fields": {"name": "patches", "shape": [2, 7, 7], "side": 4, "stride": 3},
    "modules": 3,
    "units": 16,
    "lateral": False,
    "frozen_above": 0.49,
    "selection": {"exponents": [8.0, 1.0, 1.0], "chi": 1e4, "hypothesis": 0.9},
}
TREE: dict[str, Any] = {
    "simulation": {"seed": 3, "duration": 0.315, "clock": 5e-3},
    "data": {"name": "digits", "source": "camera", "label": "label", "readout": "readout", "save_every": 7},
    "population": [
        {"name": "camera", "shape": [2, 34, 34], "model": "SpikeSource"},
        {"name": "label", "shape": 10, "model": "SpikeSource"},
        {"name": "edges", "shape": [2, 7, 7], "model": "LIF", "tau_mem": 0.02},
        {
            "name": "columns",
            "model": "Hierarchy",
            "window": WINDOW,
            "inputs": 98,
            "top_down": False,
            "levels": [LEVEL],
        },
        {"name": "readout", "model": "Tally", "window": WINDOW, "inputs": 192, "classes": 10},
    ],
    "projection": [
        {
            "source": "camera",
            "target": "edges",
            "weight": 0.03,
            "delay": 5e-3,
            "pattern": {"name": "Convolution", "stride": 4, "kernel": kernel()},
        }
    ],
    "link": [
        {"source": "edges", "target": "columns"},
        {"source": "columns", "target": "readout"},
        {"source": "label", "target": "readout", "receptor": "label"},
    ],
}


def changed(**tables: Any) -> dict[str, Any]:
    """Return the tables with changes: of [data] and [simulation] by key, of entries of lists by name; None removes."""
    tree = {key: dict(v) if isinstance(v, dict) else [dict(e) for e in v] for key, v in TREE.items()}
    for table, changes in tables.items():
        for key, value in changes.items():
            if isinstance(tree[table], list):
                _change_entry(tree[table], key, value)
            elif value is None:
                del tree[table][key]
            else:
                tree[table][key] = value
    return tree


def _change_entry(entries: list[dict[str, Any]], name: str, value: dict[str, Any] | None) -> None:
    """Update the entry of a name, or of an arrow from source to target; None removes it."""
    entry = next(e for e in entries if name in (e.get("name"), f"{e.get('source')}->{e.get('target')}"))
    if value is None:
        entries.remove(entry)
    else:
        entry.update(value)


def write(path: str, more: Mapping[str, list[Any]] | None = None, **tables: Any) -> Path:
    """Write the pipeline, with changes and more entries of its lists, as TOML."""
    found = Path(path)
    tree = changed(**tables)
    for key, entries in (more or {}).items():
        tree[key] = [*tree[key], *entries]
    found.write_text(tomli_w.dumps(tree))
    return found


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch, train: int = 60, test: int = 30) -> None:
    """Make the folder the current one, with few digits, and make the readout known to TOML."""
    write_few(folder, monkeypatch, train, test)
    monkeypatch.chdir(folder)
    monkeypatch.setitem(windowed.ROOMS, "Tally", "")
    real = windowed.window_model
    monkeypatch.setattr(windowed, "window_model", lambda name: Tally if name == "Tally" else real(name))


def prepare_here() -> None:
    """Prepare the current folder for the rest of the process."""
    prepare(Path.cwd(), pytest.MonkeyPatch())
