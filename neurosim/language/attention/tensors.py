"""Readers and writers of safetensors files: headers are checked before they are used, values are mapped into memory."""

from __future__ import annotations

import itertools
import json
import math
import mmap
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from ...base.errors import CheckpointWarning, NeurosimFormatError, NeurosimMissingError
from ...base.json_toml import read_json
from .gguf.blocks import BlockTensor, BlockType

TYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in TYPES.items()}
PAGE_OUT = 21  # MADV_PAGEOUT of Linux 5.4: unlike MADV_DONTNEED it keeps changed pages
MAX_HEADER_BYTES = 100_000_000  # the limit of the format's own library
ALIGNMENT = 64  # bytes: where torch's own memory begins, and what we write
WRITTEN = 2**20  # weights in blocks that are decoded at a time, to be written


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """Place of a tensor in a file.

    Attributes:
        file: its path.
        dtype, shape: type and shape of the tensor.
        start: byte of the file where its values begin; they are little-endian, in C order unless there are strides.
        strides: strides of its axes, in values; None for C order.
        name: in the file, for messages.
        blocks: type of quantised weights, which lie in rows of blocks; None for values.
    """

    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    strides: tuple[int, ...] | None = None
    name: str = ""
    blocks: BlockType | None = None

    def empty(self) -> Tensor:
        """Return a tensor of this type and shape without memory."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")

    def extent(self) -> int:
        """Return the number of values between its first and its last, both counted."""
        if not math.prod(self.shape):
            return 0
        if self.strides is None:
            return math.prod(self.shape)
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))

    def byte_count(self) -> int:
        """Return the number of bytes from its first value to its last."""
        if self.blocks is not None:
            return math.prod(self.shape) // self.blocks.values * self.blocks.bytes
        return self.extent() * self.dtype.itemsize


@final
class MappedFiles:
    """Files whose tensors are mapped into memory: pages are read when they are used, and changes stay in memory."""

    def __init__(self) -> None:
        self._maps: dict[Path, mmap.mmap] = {}

    def __deepcopy__(self, memo: dict[int, object]) -> MappedFiles:
        return self

    def release(self) -> None:
        """Give back the memory of pages that were read; they are read again when they are used."""
        for mapped in self._maps.values():
            with suppress(OSError, ValueError):  # a system without it keeps them as long as it has room
                mapped.madvise(PAGE_OUT)

    def load(self, stored: StoredTensor, aligned: bool = False) -> Tensor:
        """Return the values of a tensor; warn with a `CheckpointWarning` of NaN among them.

        Args:
            aligned: copy floats that do not begin at a multiple of `ALIGNMENT` in the file. Products of matrices may
                round differently there, so a model that was saved needs this to give the same bits again.

        Raises:
            NeurosimFormatError: the file cannot be mapped.
        """
        count = stored.extent()
        if not count:
            return torch.empty(stored.shape, dtype=stored.dtype)
        buffer = self._mapped(stored.file)
        if stored.blocks is not None:
            rows = torch.frombuffer(buffer, dtype=torch.uint8, count=stored.byte_count(), offset=stored.start)
            return BlockTensor(stored.blocks, rows.view(*stored.shape[:-1], -1))
        values = torch.frombuffer(buffer, dtype=stored.dtype, count=count, offset=stored.start)
        if aligned and stored.start % ALIGNMENT and stored.dtype.is_floating_point:
            values = values.clone()
        strides = stored.strides
        if strides is None:
            values = values.view(stored.shape)
        else:
            values = values.as_strided(stored.shape, strides)
        _warn_of_nan(stored, values)
        return values

    def _mapped(self, path: Path) -> mmap.mmap:
        """Return a file in memory, mapped when its first tensor is read."""
        if path not in self._maps:
            try:
                with open(path, "rb") as file:
                    # Private and writable: torch then takes it as its own memory, and the file stays as it is.
                    self._maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            except (OSError, ValueError) as error:
                raise NeurosimFormatError(f"{path}: could not be read ({error}); fetch it again") from None
        return self._maps[path]


def _warn_of_nan(stored: StoredTensor, values: Tensor) -> None:
    """Warn of the first NaN of a tensor's values, which are read once."""
    # A sum is NaN where a value is, or where infinities meet; it takes a fifth of the time of amin in bfloat16.
    if not values.dtype.is_floating_point or not torch.isnan(values.sum()):
        return
    places = torch.isnan(values).nonzero()
    if not len(places):
        return
    index = places[0].tolist()
    warnings.warn(
        f"{stored.file}: tensor '{stored.name}' holds NaN at {index}: the outputs of the model are NaN; fetch the "
        "checkpoint again, or train it again with a smaller learning rate",
        CheckpointWarning,
        stacklevel=2,
    )


@dataclass(frozen=True, eq=False)
class DeferredTensor:
    """A tensor of this type and shape that exists only while it is written."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    make: Callable[[], Tensor]


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file by name, after a check of its header; no values are read.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: no header, or impossible values for a tensor: names the tensor.
    """
    return _header(path)[0]


def read_metadata(path: Path) -> Mapping[str, object]:
    """Return the texts that a safetensors file has beside its tensors. Raises as `read_header`."""
    return _header(path)[1]


def _header(path: Path) -> tuple[dict[str, StoredTensor], Mapping[str, object]]:
    """Return tensors and metadata of a header: its length in 8 bytes, JSON, then the values."""
    _require_file(path)
    raw, first, size = _raw_header(path)
    try:
        entries = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise NeurosimFormatError(f"{path}: its header is not JSON ({error}); fetch or write it again") from None
    if not isinstance(entries, dict):
        raise NeurosimFormatError(f"{path}: expected a table of tensors (got {type(entries).__name__})")
    about = entries.pop("__metadata__", None)
    spans = [(*_check_entry(f"{path}: tensor '{name}'", entry, size), name) for name, entry in entries.items()]
    _require_apart(path, spans)
    tensors = {
        name: StoredTensor(path, TYPES[e["dtype"]], tuple(e["shape"]), first + e["data_offsets"][0], name=name)
        for name, e in entries.items()
    }
    if not isinstance(about, dict):
        return tensors, {}
    return tensors, about


def _require_file(path: Path) -> None:
    """Raise `NeurosimMissingError` for a file that is not there."""
    if path.is_file():
        return
    pickled = sorted(file.name for file in path.parent.glob("*.bin"))
    if pickled:
        # Weights that torch.save pickled: what such a file holds is a program.
        raise NeurosimMissingError(
            f"{path}: no such file (the folder has {pickled[0]}); convert it to safetensors: "
            "model.save_pretrained(FOLDER) of transformers writes it"
        )
    raise NeurosimMissingError(f"{path}: no such file; the checkpoint is not complete")


def _raw_header(path: Path) -> tuple[bytes, int, int]:
    """Return the JSON of a header, the byte where values begin, and their number of bytes."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise NeurosimFormatError(f"{path}: expected a header of {length} bytes, the file has {size}: cut short?")
        return file.read(length), 8 + length, size - 8 - length


def _require_apart(path: Path, spans: Iterable[tuple[int, int, str]]) -> None:
    """Raise where tensors, from a byte to a byte each, overlap: a header that was tampered with."""
    for (_, end, one), (start, _, other) in itertools.pairwise(sorted(spans)):
        if start < end:
            raise NeurosimFormatError(
                f"{path}: could not be read (tensors '{one}' and '{other}' lie on the same bytes)"
            )


def _check_entry(name: str, entry: object, size: int) -> tuple[int, int]:
    """Return the offsets of an entry; raise unless shape, type and offsets agree with each other and with the file."""
    expected = {"dtype", "shape", "data_offsets"}
    if not isinstance(entry, dict) or not expected <= set(entry):
        raise NeurosimFormatError(f"{name}: its header must give dtype, shape and data_offsets (got {entry!r:.60})")
    # By `type`, below: to `isinstance` True is an integer.
    shape = entry["shape"]
    offsets = entry["data_offsets"]
    dtype = entry["dtype"]
    if not isinstance(shape, list) or len(shape) > 16 or not all(type(n) is int and n >= 0 for n in shape):
        raise NeurosimFormatError(f"{name}: shape must be integers >= 0 (got {shape!r:.60})")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(n) is int for n in offsets):
        raise NeurosimFormatError(f"{name}: data_offsets must be two integers (got {offsets!r:.60})")
    if not isinstance(dtype, str) or dtype not in TYPES:
        raise NeurosimFormatError(f"{name}: type {dtype!s:.20} is not read; convert the checkpoint to F32, F16 or BF16")
    start, end = offsets
    if not 0 <= start <= end <= size:
        raise NeurosimFormatError(f"{name}: lies at bytes {start} to {end} of {size}: the header is wrong")
    count = TYPES[dtype].itemsize * math.prod(shape)
    if count != end - start:
        raise NeurosimFormatError(f"{name}: {shape} of {dtype} takes {count} bytes, the header gives {end - start}")
    return start, end


def read_headers(folder: Path) -> dict[str, StoredTensor]:
    """Return the tensors of `model.safetensors`, or of the files in its index; no values are read.

    Raises:
        NeurosimMissingError: neither is there, or a file in the index is missing.
        NeurosimFormatError: a damaged header or index; a tensor that is not in its file.
    """
    tensors: dict[str, StoredTensor] = {}
    for path, names in _files(folder).items():
        known = read_header(path)
        for name in known if names is None else names:
            if name not in known:
                raise NeurosimFormatError(f"{path}: tensor '{name}' is not in the file that the index names")
            tensors[name] = known[name]
    return tensors


def _files(folder: Path) -> Mapping[Path, list[str] | None]:
    """Return the files of a checkpoint and the names of the tensors in each; None for all."""
    index = folder / "model.safetensors.index.json"
    single = folder / "model.safetensors"
    others = sorted(file.name for file in folder.glob("*.safetensors"))
    if others and not single.is_file() and not index.is_file():
        raise NeurosimMissingError(
            f"{single}: no such file, and no index that names {others[0]}; fetch {index.name}, or the "
            "checkpoint in the layout of transformers"
        )
    if single.is_file() or not index.is_file():
        return {single: None}
    content = read_json(index)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict):
        places = {"weight_map": None}  # refused below, under this name
    files: dict[Path, list[str]] = {}
    for name, file in places.items():
        # A name alone: an index must not point out of its folder.
        if not isinstance(file, str) or os.path.basename(file) != file or not file.endswith(".safetensors"):
            raise NeurosimFormatError(
                f"{index}: tensor '{name}' must lie in a file of this folder (got {type(file).__name__} {file!s:.60})"
            )
        files.setdefault(folder / file, []).append(name)
    return files


def require_floats(stored: Mapping[str, StoredTensor]) -> None:
    """Raise `NeurosimFormatError` for a tensor that is no float."""
    for name, entry in stored.items():
        if not entry.dtype.is_floating_point:
            raise NeurosimFormatError(
                f"{entry.file}: tensor '{name}': type {NAMES[entry.dtype]} is no float (quantised?); "
                "convert the checkpoint to F32, F16 or BF16"
            )


def save_tensors(
    path: Path, tensors: Iterable[tuple[str, Tensor | DeferredTensor]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file in place, tensor by tensor: for a path of `replacing`.

    Tensors whose size is a multiple of `ALIGNMENT` come first, so that all of these begin at one, as in memory.
    """
    sized = [(name, value, math.prod(value.shape) * _type(value).itemsize) for name, value in tensors]
    listed = sorted(sized, key=lambda entry: entry[2] % ALIGNMENT != 0)
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for name, value, size in listed:
        entries[name] = {"dtype": NAMES[_type(value)], "shape": [*value.shape], "data_offsets": [place, place + size]}
        place += size
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-(8 + len(header)) % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name, value, size in listed:
            written = 0
            for part in _parts(value):
                data = part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
                # Not `tofile`, whose error does not say why the disk refuses.
                file.write(data.data)
                written += data.size
            if written != size:  # every tensor behind it would be read from the wrong place
                raise AssertionError(f"tensor '{name}' has {written} bytes, and {size} in the header")


def _parts(value: Tensor | DeferredTensor) -> Iterator[Tensor]:
    """Yield the values of a tensor as they are written, some rows at a time where they are decoded."""
    if isinstance(value, BlockTensor):
        for rows in value.split(max(1, WRITTEN * len(value) // value.numel())):
            yield rows.float()
    elif isinstance(value, Tensor):
        yield value
    else:
        yield value.make()


def _type(value: Tensor | DeferredTensor) -> torch.dtype:
    """Return the type in which a tensor is written: safetensors has none for blocks, which become float32."""
    return torch.float32 if isinstance(value, BlockTensor) else value.dtype
