"""Converted models in folders: config.json and model.safetensors, weights, thresholds and scales by name."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ...base.errors import NeurosimFormatError, lookup, require
from ...base.plain import from_plain, to_plain
from ...data.files.state import saved_values
from ..attention.checkpoint import SINGLE_FILES, own_config, read_about, write_folder
from ..attention.gguf.blocks import BLOCKS, BlockTensor, BlockType
from ..attention.loading import assign_tensors, empty_model, match_tensors, stored_tensors
from ..attention.model import LanguageModel
from ..attention.tensors import DeferredTensor, StoredTensor, read_headers, require_floats
from .coding import SCHEMES, Coder
from .int4 import stored_blocks, unpacked
from .linear import SpikedLinear
from .model import Converted
from .settings import Coding

SPIKING = "neurosim-spiking"
FORMAT = 1  # int8 weights as [K, N]: the rows that spikes select


@dataclass(frozen=True)
class _SavedCoder:
    """Settings of a coder, see `Coder`."""

    k: float
    shrink: float
    price: float
    limit: float


@dataclass(frozen=True)
class _SavedModel:
    """Contents of config.json.

    Attributes:
        blocks: types of tensors that lie in blocks as in a GGUF file, by their names; weights of 4 bits apart.
    """

    model_type: str
    format: int
    config: Mapping[str, object]
    coding: Coding
    coders: Mapping[str, _SavedCoder]
    price: float = 0.0
    remarks: tuple[str, ...] = ()
    blocks: Mapping[str, str] = field(default_factory=dict)


def write_converted(folder: str | os.PathLike[str], converted: Converted) -> None:
    """Write a converted model as `config.json` and `model.safetensors`; int8 weights as such, with their steps.

    Rows of int8 lie as a decoder reads them, so that it need not copy them. Weights of 4 bits are written as the bytes
    of their blocks, Q4_0 or Q4_1 of GGUF; matrices that stay as they are, such as an embedding in Q8_0, likewise.

    Raises:
        NeurosimWriteError: the disk refuses; both files are as they were, or not there.
    """
    # An executed model has wrapped mixers, whose names are not the names of its tensors.
    executed = converted.executed
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
        blocks={
            name: value.kind.name
            for name, value in stored_tensors(converted.model).items()
            if isinstance(value, BlockTensor) and _is_as_it_is(converted, name)
        },
    )
    write_folder(Path(folder), to_plain(saved), _tensors(converted))
    converted.execute(executed)


def _tensors(converted: Converted) -> Iterator[tuple[str, Tensor | DeferredTensor]]:
    """Yield the tensors to save; weights become int8 while they are written, layer by layer."""
    for name, value in stored_tensors(converted.model).items():
        if _is_as_it_is(converted, name):
            yield name, value.blocks if isinstance(value, BlockTensor) else value
            continue
        layer = converted.layers[name.removesuffix(".weight")]
        if layer.weight_type == "int4":
            yield name, layer.stored_int4().blocks
            continue
        if layer.steps is not None:
            yield name, value.T
            continue
        shape = (layer.in_features, layer.out_features)
        part = partial(_part, layer, converted.model)
        yield name, DeferredTensor(torch.int8, shape, partial(part, 0))
        yield f"{name.removesuffix('weight')}steps", part(1)


def _is_as_it_is(converted: Converted, name: str) -> bool:
    """Return whether a tensor is saved as the model has it: all but the weights of layers that are integers."""
    layer = converted.layers.get(name.rpartition(".")[0])
    return layer is None or layer.weight_type == "float32" or not name.endswith(".weight")


def _part(layer: SpikedLinear, model: LanguageModel, part: int) -> Tensor:
    """Return the int8 weights [K, N] of a layer (0) or their steps (1)."""
    stored = layer.stored_int8()[part]
    model.files.release()
    return stored if part else stored.T


def read_converted(folder: str | os.PathLike[str]) -> Converted:
    """Return the model that `write_converted` wrote, simulated; its weights are mapped into memory.

    Raises:
        NeurosimMissingError: no such folder or file.
        NeurosimInputError: a setting that breaks its rule, or a folder of another kind.
        NeurosimFormatError: a damaged file; tensors missing, left over or of another shape: names them.
    """
    folder = Path(folder)
    saved = _read_settings(folder)
    stored = read_headers(folder)
    with saved_values(folder / "config.json"):
        types = {kind.name: kind for kind in BLOCKS.values()}
        kinds = {name: lookup(types, kind, f"blocks.{name}") for name, kind in saved.blocks.items()}
        model = empty_model(own_config({"config": saved.config}, stored), str(folder))
    forms = _StoredForms(kinds, _int4_channels(model, saved), _coded_weights(stored))
    dense = {name: forms.of_layer(name, entry.empty()) for name, entry in stored.items() if not _of_coder(name)}
    # Check before coders are made: they take their sizes from the weights.
    match_tensors(model, dense, str(folder))
    with saved_values(folder / "config.json"):
        coders = {name: _coder(model, name, saved.coding.scheme, own) for name, own in saved.coders.items()}
        converted = Converted(model, saved.coding, coders, saved.remarks)
    converted.price = saved.price
    for name, layer in converted.layers.items():
        if f"{name}.steps" in stored:
            layer.steps = nn.Parameter(torch.empty(layer.out_features, device="meta"))
        weight = stored.get(f"{name}.weight")
        layer.has_blocks = f"{name}.weight" in forms.channels and weight is not None and weight.dtype == torch.uint8
    match_tensors(model, {name: forms.of_layer(name, entry.empty()) for name, entry in stored.items()}, str(folder))
    _check_types(stored, converted, set(kinds))
    values = {name: forms.of_layer(name, model.files.load(entry, aligned=True)) for name, entry in stored.items()}
    blocks = {f"{name}.weight" for name, layer in converted.layers.items() if layer.has_blocks} | set(kinds)
    assign_tensors(model, match_tensors(model, values, str(folder)), blocks)
    model.tie()
    _check_scales(folder, converted)
    model.eval()
    return converted


def _read_settings(folder: Path) -> _SavedModel:
    """Return the contents of config.json."""
    path = folder / "config.json"
    config = read_about(folder)
    kind = config.get("model_type")
    version = config.get("format")
    require(kind == SPIKING, f"{path}: model_type", f"must be {SPIKING}", kind)
    require(version == FORMAT, f"{path}: format", f"must be {FORMAT}: upgrade neurosim", version)
    with saved_values(path):
        saved = from_plain(_SavedModel, config)
        require(math.isfinite(saved.price), "price", "must be finite", saved.price)
    return saved


@dataclass(frozen=True)
class _StoredForms:
    """Tensors that lie in the file in another form than in their layer, by their names.

    Attributes:
        kinds: types of blocks of tensors in blocks, as in a GGUF file.
        channels: input channels of weights that may lie in blocks of 4 bits.
        coded: int8 weights, which lie as [K, N].
    """

    kinds: Mapping[str, BlockType]
    channels: Mapping[str, int]
    coded: Collection[str]

    def of_layer(self, name: str, tensor: Tensor) -> Tensor:
        """Return a tensor as its layer has it."""
        if name in self.kinds:
            return _of_blocks(tensor, self.kinds[name], name)
        if name in self.channels and tensor.dtype == torch.uint8:
            return stored_blocks(tensor, self.channels[name], name)
        if name in self.coded and tensor.dim() == 2:
            return tensor.T
        return tensor


def _coded_weights(stored: Mapping[str, StoredTensor]) -> set[str]:
    """Return the names of int8 weights: those that have steps beside them."""
    return {f"{name.removesuffix('.steps')}.weight" for name in stored if name.endswith(".steps")}


def _int4_channels(model: LanguageModel, saved: _SavedModel) -> dict[str, int]:
    """Return the input channels of the weights that may lie in blocks of 4 bits, by their names."""
    if saved.coding.weights != "int4":
        return {}
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    return {f"{name}.weight": layers[name].in_features for name in saved.coders if name in layers}


def _of_coder(name: str) -> bool:
    """Return whether a tensor belongs to a coder or is the steps of int8 weights."""
    return name.endswith((".coder.thresholds", ".coder.scales", ".steps")) or ".codes." in name


def _of_blocks(tensor: Tensor, kind: BlockType, name: str) -> Tensor:
    """Return bytes [.., bytes of a row] as weights in blocks.

    Raises:
        NeurosimFormatError: no bytes, or a row that is not of blocks.
    """
    if tensor.dtype != torch.uint8 or tensor.dim() < 2 or tensor.shape[-1] % kind.bytes:
        raise NeurosimFormatError(f"tensor '{name}': must be bytes U8 of blocks {kind.name}, {kind.bytes} each")
    return BlockTensor(kind, tensor)


def _check_types(stored: Mapping[str, StoredTensor], converted: Converted, kinds: Collection[str]) -> None:
    """Raise unless weights with steps are int8, those in blocks (`kinds`, too) are bytes, and all else is floats."""
    whole = {f"{name}.weight" for name, layer in converted.layers.items() if layer.steps is not None}
    blocks = {f"{name}.weight" for name, layer in converted.layers.items() if layer.has_blocks}
    require_floats({name: entry for name, entry in stored.items() if name not in whole | blocks | set(kinds)})
    for name in whole & set(stored):
        if stored[name].dtype != torch.int8:
            raise NeurosimFormatError(f"{stored[name].file}: tensor '{name}' must be I8, for it has steps")


def _check_scales(folder: Path, converted: Converted) -> None:
    """Raise unless thresholds and steps are finite and > 0, and the steps and minima of blocks finite."""
    for name, layer in converted.layers.items():
        positive = ["coder.thresholds", "coder.scales"]
        if layer.steps is not None:
            positive.append("steps")
        for part in positive:
            value = layer.get_parameter(part).detach()
            if not bool((torch.isfinite(value) & (value > 0)).all()):
                raise NeurosimFormatError(f"{folder}: tensor '{name}.{part}' must be finite and > 0")
        if layer.has_blocks:
            _, *scales = unpacked(layer.stored_int4())
            if not all(bool(torch.isfinite(scale).all()) for scale in scales if scale is not None):
                raise NeurosimFormatError(f"{folder}: tensor '{name}.weight' must have finite steps and minima")


def is_converted(folder: str | os.PathLike[str]) -> bool:
    """Return whether the folder contains a converted model.

    Raises:
        NeurosimMissingError, NeurosimFormatError: no readable config.json.
    """
    return Path(folder).suffix not in SINGLE_FILES and read_about(Path(folder)).get("model_type") == SPIKING


def _coder(model: LanguageModel, name: str, scheme: str, saved: _SavedCoder) -> Coder:
    """Return a coder of the saved settings for a layer; its thresholds come from the file later."""
    layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    layer = lookup(layers, name, "coders")
    size = layer.in_features if SCHEMES[scheme].channel else 1
    return Coder(scheme, torch.ones(size), k=saved.k, shrink=saved.shrink, price=saved.price, limit=saved.limit)
