"""Converted models in folders: config.json and model.safetensors, weights, thresholds and scales by name."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..attention import LanguageConfig, LanguageModel
from ..attention.checkpoint import fit_tensors, read_config, stored_tensors
from ..attention.tensors import MappedFiles, read_headers, save_tensors
from ..errors import NeurosimFormatError, lookup, require
from ..files import replacing, saved_values, write_text
from ..plain import from_plain, to_plain
from .coding import SCHEMES, Coder
from .model import Coding, Converted

SPIKING = "neurosim-spiking"
FORMAT = 1


@dataclass(frozen=True)
class _SavedCoder:
    k: float
    shrink: float
    price: float
    limit: float


@dataclass(frozen=True)
class _SavedModel:
    """Contents of config.json."""

    model_type: str
    format: int
    config: Mapping[str, object]
    coding: Coding
    coders: Mapping[str, _SavedCoder]
    price: float = 0.0
    remarks: tuple[str, ...] = ()


def write_converted(folder: str | os.PathLike[str], converted: Converted) -> None:
    """Write a converted model as `config.json` and `model.safetensors`.

    Raises:
        NeurosimWriteError: the disk refuses. Each file is replaced in one step, the weights last.
    """
    folder, executed = Path(folder), converted.executed
    converted.execute(False)
    saved = _SavedModel(
        model_type=SPIKING,
        format=FORMAT,
        config=converted.model.config.to_json(),
        coding=converted.coding,
        coders={
            name: _SavedCoder(layer.coder.k, layer.coder.shrink, layer.coder.price, layer.coder.limit)
            for name, layer in converted.layers.items()
        },
        price=converted.price,
        remarks=converted.remarks,
    )
    write_text(folder / "config.json", json.dumps(to_plain(saved), indent=2) + "\n")
    with replacing(folder / "model.safetensors") as weights:
        save_tensors(weights, stored_tensors(converted.model).items())
    converted.execute(executed)


def read_converted(folder: str | os.PathLike[str]) -> Converted:
    """Return the model that `write_converted` wrote, simulated.

    Raises:
        NeurosimMissingError: no such folder or file.
        NeurosimInputError: a setting that breaks its rule, or a folder of another kind.
        NeurosimFormatError: a damaged file; tensors missing, left over or of another shape: names them.
    """
    folder = Path(folder)
    name, config = str(folder / "config.json"), read_config(folder)
    kind, version = config.get("model_type"), config.get("format")
    require(kind == SPIKING, f"{name}: model_type", f"must be {SPIKING}", kind)
    require(version == FORMAT, f"{name}: format", f"must be {FORMAT}: upgrade neurosim", version)
    with saved_values(folder / "config.json"):
        saved = from_plain(_SavedModel, config)
        require(math.isfinite(saved.price), "price", "must be finite", saved.price)
        model = LanguageModel(LanguageConfig.from_json(saved.config))
        coders = {each: _coder(model, each, saved.coding.scheme, saved.coders[each]) for each in saved.coders}
    made = Converted(model, saved.coding, coders, saved.remarks)
    made.price = saved.price
    files = MappedFiles()
    fit_tensors(model, {name: files.load(entry) for name, entry in read_headers(folder).items()}, str(folder))
    for each, layer in made.layers.items():
        for part in ("thresholds", "scales"):
            values = getattr(layer.coder, part).detach()
            if not bool((torch.isfinite(values) & (values > 0)).all()):
                raise NeurosimFormatError(f"{folder}: tensor '{each}.coder.{part}' must be finite and > 0")
    model.eval()
    return made


def is_converted(folder: str | os.PathLike[str]) -> bool:
    """Return whether the folder contains a converted model.

    Raises:
        NeurosimMissingError, NeurosimFormatError: no readable config.json.
    """
    return read_config(Path(folder)).get("model_type") == SPIKING


def _coder(model: LanguageModel, name: str, scheme: str, saved: _SavedCoder) -> Coder:
    layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    layer = lookup(layers, name, "coders")
    size = layer.in_features if SCHEMES[scheme].channel else 1
    return Coder(scheme, torch.ones(size), k=saved.k, shrink=saved.shrink, price=saved.price, limit=saved.limit)
