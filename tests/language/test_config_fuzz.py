"""Configs that are damaged anywhere: our error or a model that fits, at once, and nothing is allocated before."""

from __future__ import annotations

import copy
import json
import math
import random
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from helpers.fla_folders import BASE, OPTIONS, folder_of
from helpers.recorded import CASES, write_folder

from neurosim import NeurosimError
from neurosim.base import CheckpointWarning, NeurosimInputError
from neurosim.language import read_model

MUTANTS = 500
VALUES: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 3, 7, 100_000, 2**31, 2**53, 2**63, 10**30, 0.37, -0.5, 1e300, 1e-300),
    *(math.nan, math.inf, "", "w", "None", [], [1], [[1]], [None, "x"], [0.0, {"__float__": "w"}], {}, {"a": 1}),
    {"type": "yarn"},
    {"layers": [0], "num_heads": 10**9},
]


def mutated(config: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """Return a config with one to three entries changed, in tables too, taken away or added."""
    changed = json.loads(json.dumps(config))
    for _ in range(draw.randint(1, 3)):
        table = changed
        tables = [value for value in changed.values() if isinstance(value, dict) and value]
        if tables and draw.random() < 0.3:
            table = draw.choice(tables)
        key = draw.choice([*table, "expand_k", "clamp_min", "hidden_ratio", "head_dim", "num_memories", "rope_scaling"])
        if draw.random() < 0.1:
            table.pop(key, None)
        else:
            table[key] = copy.deepcopy(draw.choice(VALUES))
    return changed


def folders(root: Path) -> list[Path]:
    made = []
    for case in CASES:
        made.append(root / case)
        made[-1].mkdir()
        write_folder(case, made[-1])
    for kind, options, *_ in {kind: (kind, options) for kind, options, *_ in OPTIONS}.values():
        made.append(root / kind)
        folder_of(made[-1], kind, BASE | options)
    return made


@pytest.mark.slow
def test_damaged_configs(tmp_path: Path) -> None:
    draw = random.Random(0)
    made = folders(tmp_path)
    refused = 0
    slowest = 0.0
    for number in range(MUTANTS):
        folder = made[number % len(made)]
        config = json.loads((folder / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(mutated(config, draw)))
        (tmp_path / "model.safetensors").unlink(missing_ok=True)
        (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CheckpointWarning)
                read_model(tmp_path)
        except NeurosimError:
            refused += 1
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\n{(tmp_path / 'config.json').read_text()}")
        slowest = max(slowest, time.perf_counter() - start)
    assert refused > MUTANTS // 3
    assert slowest < 20  # seconds, on a machine with much else to do: the damage is found before anything is built


@pytest.mark.parametrize("content", ['{"weight_map": ' + "[" * 100_000, '{"weight_map": {"a": [[["b"]]]}}', "[]", "{}"])
def test_damaged_indices(tmp_path: Path, content: str) -> None:
    write_folder("llama", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(NeurosimInputError, match=r"index\.json"):
        read_model(tmp_path)
