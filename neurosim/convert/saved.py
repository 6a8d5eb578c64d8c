"""Converted models in folders: config.json and model.safetensors, weights, thresholds and scales by name."""

from __future__ import annotations

import json
import math
import os
import typing
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..attention import LanguageConfig, LanguageModel
from ..attention.checkpoint import fit_tensors, read_config
from ..attention.tensors import read_tensors, write_tensors
from ..errors import NeurosimFormatError, lookup, require
from ..files import write_text
from .coding import SCHEMES, Coder
from .model import Coding, Converted

SPIKING = "neurosim-spiking"
FORMAT = 1
NUMBERS = ("k", "shrink", "price", "limit")  # of a coder


def write_converted(folder: str | os.PathLike[str], converted: Converted) -> None:
    """Write a converted model as `config.json` and `model.safetensors`.

    Raises:
        NeurosimWriteError: the disk refuses. Each file is replaced in one step, the weights last.
    """
    folder, executed = Path(folder), converted.executed
    converted.execute(False)
    about = {
        "model_type": SPIKING,
        "format": FORMAT,
        "config": converted.model.config.to_json(),
        "coding": asdict(converted.coding),
        "coders": {
            name: {number: getattr(layer.coder, number) for number in NUMBERS}
            for name, layer in converted.layers.items()
        },
        "price": converted.price,
        "remarks": list(converted.remarks),
    }
    write_text(folder / "config.json", json.dumps(about, indent=2, default=str) + "\n")
    once: dict[int, tuple[str, Tensor]] = {}  # a tensor under two names is written under the first
    for name, value in converted.model.state_dict(keep_vars=True).items():
        once.setdefault(id(value), (name, value))
    write_tensors(folder / "model.safetensors", dict(once.values()))
    converted.execute(executed)


def read_converted(folder: str | os.PathLike[str]) -> Converted:
    """The model `write_converted` wrote, simulated.

    Raises:
        NeurosimMissingError: no such folder or file.
        NeurosimInputError: a setting that breaks its rule, or a folder of another kind.
        NeurosimFormatError: a damaged file; tensors missing, left over or of another shape: names them.
    """
    folder = Path(folder)
    where = str(folder / "config.json")
    config = read_config(folder)
    require(config.get("model_type") == SPIKING, f"{where}: model_type", f"must be {SPIKING}", config.get("model_type"))
    require(
        config.get("format") == FORMAT, f"{where}: format", f"must be {FORMAT}: upgrade neurosim", config.get("format")
    )
    model = LanguageModel(LanguageConfig.from_json(_table(config, "config", where)))
    coding = _coding(_table(config, "coding", where), where)
    coders = {
        name: _coder(model, name, coding.scheme, numbers, where)
        for name, numbers in _table(config, "coders", where).items()
    }
    made = Converted(model, coding, coders, tuple(str(line) for line in config.get("remarks", ())))
    made.price = _number(config, "price", where)
    fit_tensors(model, read_tensors(folder), str(folder))
    for name, layer in made.layers.items():
        for part in ("thresholds", "scales"):
            values = getattr(layer.coder, part).detach()
            if not bool((torch.isfinite(values) & (values > 0)).all()):
                raise NeurosimFormatError(f"{folder}: tensor '{name}.coder.{part}' must be finite and > 0")
    model.eval()
    return made


def is_converted(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder holds a converted model.

    Raises:
        NeurosimMissingError, NeurosimFormatError: it holds no readable config.json.
    """
    return read_config(Path(folder)).get("model_type") == SPIKING


def _table(values: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = values.get(key)
    if not isinstance(found, Mapping):
        raise NeurosimFormatError(f"{where}: {key}: must be a JSON object (got {found!r:.40})")
    return found


def _number(values: Mapping[str, Any], key: str, where: str) -> float:
    found = values.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise NeurosimFormatError(f"{where}: {key}: must be a finite number (got {found!r:.40})")
    return float(found)


def _coding(values: Mapping[str, Any], where: str) -> Coding:
    hints = typing.get_type_hints(Coding)
    for name, value in values.items():
        hint = lookup(hints, name, f"{where}: coding")
        kinds = typing.get_args(hint) or ((float, int) if hint is float else (hint,))
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise NeurosimFormatError(f"{where}: coding.{name}: must be {kinds[0].__name__} (got {value!r:.40})")
    return Coding(**values)


def _coder(model: LanguageModel, name: str, scheme: str, numbers: Any, where: str) -> Coder:
    known = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    linear = lookup(known, name, f"{where}: coders")
    require(isinstance(numbers, Mapping), f"{where}: coders.{name}", f"must give {', '.join(NUMBERS)}", numbers)
    size = linear.in_features if SCHEMES[scheme].channel else 1
    k, shrink, price, limit = (_number(numbers, number, f"{where}: coders.{name}") for number in NUMBERS)
    return Coder(scheme, torch.ones(size), k=k, shrink=shrink, price=price, limit=limit)
