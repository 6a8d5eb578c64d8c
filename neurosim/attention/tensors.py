"""Readers and writers of safetensors files; headers are checked before they are used."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ..errors import NeurosimFormatError, NeurosimMissingError
from ..files import read_json, replacing

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
FLOATS = ("F64", "F32", "F16", "BF16")
MAX_HEADER_BYTES = 100_000_000  # the limit of the format's own library


def header_types(path: Path) -> dict[str, str]:
    """Return the type of each tensor of a safetensors file, after a check of its header.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: no header, or impossible values for a tensor: names the tensor.
    """
    if not path.is_file():
        raise NeurosimMissingError(f"{path}: no such file; the checkpoint is not complete")
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise NeurosimFormatError(f"{path}: expected a header of {length} bytes, the file has {size}: cut short?")
        raw = file.read(length)
    try:
        entries = json.loads(raw)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise NeurosimFormatError(f"{path}: its header is not JSON ({error}); fetch or write it again") from None
    if not isinstance(entries, dict):
        raise NeurosimFormatError(f"{path}: expected a table of tensors (got {type(entries).__name__})")
    entries.pop("__metadata__", None)
    for name, entry in entries.items():
        _check_entry(f"{path}: tensor '{name}'", entry, size - 8 - length)
    return {name: entry["dtype"] for name, entry in entries.items()}


def _check_entry(name: str, entry: object, size: int) -> None:
    """Raise unless shape, type and offsets of an entry agree with each other and with the file."""
    wanted = {"dtype", "shape", "data_offsets"}
    if not isinstance(entry, dict) or not wanted <= set(entry):
        raise NeurosimFormatError(f"{name}: its header must give dtype, shape and data_offsets (got {entry})")
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise NeurosimFormatError(f"{name}: shape must be integers >= 0 (got {shape})")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(n) is int for n in offsets):
        raise NeurosimFormatError(f"{name}: data_offsets must be two integers (got {offsets})")
    if dtype not in SIZES:
        raise NeurosimFormatError(f"{name}: type {dtype} is not read; convert the checkpoint to F32, F16 or BF16")
    start, end = offsets
    if not 0 <= start <= end <= size:
        raise NeurosimFormatError(f"{name}: lies at bytes {start} to {end} of {size}: the header is wrong")
    count = SIZES[dtype] * math.prod(shape)
    if count != end - start:
        raise NeurosimFormatError(f"{name}: {shape} of {dtype} takes {count} bytes, the header gives {end - start}")


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Read the tensors of `model.safetensors`, or of the files in its index, as float32.

    Raises:
        NeurosimMissingError: neither is there, or a file in the index is missing.
        NeurosimFormatError: a damaged header; a tensor that is not in its file; a type other than floats.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, Tensor] = {}
    for path, names in _files(folder).items():
        known = header_types(path)
        for name in known if names is None else names:
            if name not in known:
                raise NeurosimFormatError(f"{path}: tensor '{name}' is not in the file that the index names")
            if known[name] not in FLOATS:
                raise NeurosimFormatError(
                    f"{path}: tensor '{name}': type {known[name]} is no float (quantised?); "
                    "convert the checkpoint to F32, F16 or BF16"
                )
        try:
            with safe_open(str(path), "pt") as stored:
                for name in known if names is None else names:
                    found[name] = stored.get_tensor(name).to(torch.float32)
        except (SafetensorError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise NeurosimFormatError(f"{path}: could not be read ({reason}); fetch or write it again") from None
    return found


def _files(folder: Path) -> dict[Path, list[str] | None]:
    """Return the files of a checkpoint and the names of the tensors in each; None for all."""
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    if single.is_file() or not index.is_file():
        return {single: None}
    content = read_json(index)
    places = content.get("weight_map") if isinstance(content, dict) else None
    files: dict[Path, list[str] | None] = {}
    for name, file in places.items() if isinstance(places, dict) else [("weight_map", None)]:
        if not isinstance(file, str) or os.path.basename(file) != file or not file.endswith(".safetensors"):
            raise NeurosimFormatError(f"{index}: tensor '{name}' must lie in a file of this folder (got {file})")
        names = files.setdefault(folder / file, [])
        cast(list[str], names).append(name)
    return files


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Replace a safetensors file in one step.

    Raises:
        NeurosimWriteError: the disk refuses; what was there is unchanged.
    """
    with replacing(path) as temporary:
        save_tensors(temporary, tensors)


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file in place: for a path that `replacing` gave."""
    from safetensors.torch import save

    # Cloned, for the format refuses tensors that share memory.
    path.write_bytes(save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}))
