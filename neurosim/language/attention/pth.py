"""Files of `torch.save`, read without unpickling: tensors by name are recognised, and all else is refused.

Such a file is a zip archive; its `data.pkl` names the member and the part of it for each tensor. Its opcodes are
followed here. Only the functions that torch writes for tensors are accepted, and none of them is called.
"""

from __future__ import annotations

import pickletools
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ...base.errors import NeurosimFormatError, NeurosimMissingError
from .tensors import StoredTensor

MAX_PICKLE = 64 << 20  # bytes
STORAGES: Mapping[str, torch.dtype] = {
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class _Name(NamedTuple):
    """A function or class that the file names."""

    module: str
    name: str


class _Storage(NamedTuple):
    """Values of a type in the member `key` of the archive."""

    dtype: torch.dtype
    key: str


class _Tensor(NamedTuple):
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_TENSOR = {_Name("torch._utils", "_rebuild_tensor_v2"), _Name("torch._utils", "_rebuild_tensor")}
_PARAMETER = _Name("torch._utils", "_rebuild_parameter")
_TABLE = _Name("collections", "OrderedDict")
_MARK = object()


def read_pth(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a file that `torch.save` wrote from a table of tensors; no values are read.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not such a file, or it holds something else than tensors by name: names it.
    """
    if not path.is_file():
        raise NeurosimMissingError(f"{path}: no such file; give a checkpoint that torch.save wrote")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            root = next((name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")), None)
            if root is None:
                raise NeurosimFormatError(f"{path}: has no data.pkl; save it again by torch.save, version 1.6 or later")
            if archive.getinfo(f"{root}data.pkl").file_size > MAX_PICKLE:
                raise NeurosimFormatError(f"{path}: data.pkl is larger than {MAX_PICKLE} bytes")
            if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
                raise NeurosimFormatError(f"{path}: its values are not little-endian; save it again on this machine")
            tensors = _named(_Machine(path).run(archive.read(f"{root}data.pkl")), path)
        # Values stay in the archive, uncompressed, so that they can be mapped into memory.
        size = path.stat().st_size
        with open(path, "rb") as file:
            return {name: _placed(path, file, members, root, name, t, size) for name, t in tensors.items()}
    except (zipfile.BadZipFile, struct.error, OSError, ValueError, IndexError, KeyError, RuntimeError) as error:
        if isinstance(error, NeurosimFormatError):
            raise
        raise NeurosimFormatError(
            f"{path}: is no file of torch.save ({error!s:.120}); fetch it again, or convert it to safetensors"
        ) from None


def _named(value: object, path: Path) -> dict[str, _Tensor]:
    """Return the tensors by name, from the table itself or from one in it."""
    if isinstance(value, dict):
        for key in ("state_dict", "model", "module"):
            if isinstance(value.get(key), dict):
                value = value[key]
                break
    if not isinstance(value, dict):
        raise NeurosimFormatError(f"{path}: must hold a table of tensors (got {type(value).__name__})")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise NeurosimFormatError(
                f"{path}: '{name!s:.60}' must be a tensor (got {type(tensor).__name__}); save a table of tensors alone"
            )
    return value


def _placed(
    path: Path, file: Any, members: Mapping[str, zipfile.ZipInfo], root: str, name: str, tensor: _Tensor, size: int
) -> StoredTensor:
    """Return the place of the values of a tensor in the file."""
    info = members.get(f"{root}data/{tensor.storage.key}")
    if info is None or info.compress_type != zipfile.ZIP_STORED:
        raise NeurosimFormatError(f"{path}: tensor '{name}': its values are missing or compressed")
    file.seek(info.header_offset)
    head = file.read(30)
    if len(head) < 30 or head[:4] != b"PK\x03\x04":
        raise NeurosimFormatError(f"{path}: tensor '{name}': its values are missing; cut short?")
    # A local header of a zip member: 30 bytes, then the name and the extra field, whose lengths are its last 4 bytes.
    start = info.header_offset + 30 + sum(struct.unpack("<HH", head[26:30]))
    numbers = (*tensor.shape, *tensor.strides, tensor.offset)
    if len(tensor.shape) != len(tensor.strides) or len(numbers) > 33 or not all(0 <= n < 2**48 for n in numbers):
        raise NeurosimFormatError(f"{path}: tensor '{name}': impossible shape {tensor.shape!s:.60}")
    width = tensor.storage.dtype.itemsize
    begin = start + tensor.offset * width
    stored = StoredTensor(
        file=path, dtype=tensor.storage.dtype, shape=tensor.shape, start=begin, strides=tensor.strides, name=name
    )
    end = stored.start + stored.extent() * width
    if end > min(start + info.file_size, size):
        raise NeurosimFormatError(f"{path}: tensor '{name}': lies at bytes {stored.start} to {end} of {size}")
    return stored


class _Machine:
    """The opcodes of pickle that torch writes for tables of tensors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> object:
        """Return the object that the opcodes make, of tables, numbers and `_Tensor`s."""
        # genops reads opcodes and runs none.
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return self.stack.pop()
            step = getattr(self, f"_{opcode.name.lower()}", None)
            if opcode.name in _VALUES:
                value = argument if opcode.name in _ARGUMENTS else _VALUES[opcode.name]
                self.stack.append(value)
            elif step is None:
                raise NeurosimFormatError(f"{self.path}: '{opcode.name}' is not part of a table of tensors")
            else:
                step(argument)
        raise ValueError("data.pkl does not end")

    # A method for each opcode, named after it. None of them calls anything that the file names.

    def _since_mark(self) -> list[Any]:
        """Take the items above the last mark off the stack."""
        place = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def _proto(self, argument: int) -> None:
        pass

    def _frame(self, argument: int) -> None:
        pass

    def _mark(self, argument: None) -> None:
        self.stack.append(_MARK)

    def _empty_dict(self, argument: None) -> None:
        self.stack.append({})

    def _empty_list(self, argument: None) -> None:
        self.stack.append([])

    def _tuple(self, argument: None) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _tuple1(self, argument: None) -> None:
        self._last(1)

    def _tuple2(self, argument: None) -> None:
        self._last(2)

    def _tuple3(self, argument: None) -> None:
        self._last(3)

    def _last(self, count: int) -> None:
        """Replace the last items by a tuple of them."""
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)

    def _binput(self, argument: int) -> None:
        self.memo[argument] = self.stack[-1]

    _long_binput = _binput

    def _memoize(self, argument: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _binget(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    _long_binget = _binget

    def _setitem(self, argument: None) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        self._set([key, value])

    def _setitems(self, argument: None) -> None:
        self._set(self._since_mark())

    def _set(self, items: list[Any]) -> None:
        """Put keys and values, in turn, into the table on top of the stack."""
        table = self.stack[-1]
        if not isinstance(table, dict) or not all(isinstance(key, str | int) for key in items[::2]):
            raise NeurosimFormatError(f"{self.path}: must hold tables by name")
        table.update(zip(items[::2], items[1::2], strict=True))

    def _append(self, argument: None) -> None:
        value = self.stack.pop()
        self.stack[-1].append(value)

    def _appends(self, argument: None) -> None:
        items = self._since_mark()
        self.stack[-1].extend(items)

    def _global(self, argument: str) -> None:
        self._find(*argument.split(" ", 1))

    def _stack_global(self, argument: None) -> None:
        name = self.stack.pop()
        module = self.stack.pop()
        self._find(str(module), str(name))

    def _find(self, module: str, name: str) -> None:
        """Push the name of a function or class, if torch writes it for tensors."""
        reference = _Name(module, name)
        if reference not in (*_TENSOR, _PARAMETER, _TABLE) and not (module == "torch" and name in STORAGES):
            raise NeurosimFormatError(
                f"{self.path}: names {module}.{name}, which is no tensor; it is not run. Save a table of tensors alone"
            )
        self.stack.append(reference)

    def _binpersid(self, argument: None) -> None:
        """Push a storage: torch refers to it as ('storage', type, member, device, number of values)."""
        kind, storage, key, *_ = self.stack.pop()
        if kind != "storage" or not isinstance(storage, _Name) or storage.name not in STORAGES:
            raise NeurosimFormatError(f"{self.path}: refers to {kind!s:.40}, which is no storage")
        self.stack.append(_Storage(STORAGES[storage.name], str(key)))

    def _reduce(self, argument: None) -> None:
        """Push the result of a call that torch writes, made here without the call."""
        arguments = self.stack.pop()
        function = self.stack.pop()
        if function == _TABLE and arguments == ():
            self.stack.append({})
        elif function == _PARAMETER and isinstance(arguments[0], _Tensor):
            self.stack.append(arguments[0])
        elif function in _TENSOR and isinstance(arguments[0], _Storage):
            storage, offset, shape, strides = arguments[:4]
            if not all(type(n) is int for n in (offset, *shape, *strides)):
                raise NeurosimFormatError(f"{self.path}: a tensor has an impossible shape {shape!s:.60}")
            self.stack.append(_Tensor(storage, offset, tuple(shape), tuple(strides)))
        else:
            raise NeurosimFormatError(f"{self.path}: calls {function!s:.60}, which is not done")

    def _build(self, argument: None) -> None:
        """Skip the attributes of a table, such as torch's `_metadata`."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise NeurosimFormatError(f"{self.path}: sets attributes of a {type(self.stack[-1]).__name__}")


_ARGUMENTS = frozenset(
    ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
)
# Opcodes that push a value: their argument, or the one given here.
_VALUES: Mapping[str, object] = {
    **dict.fromkeys(_ARGUMENTS),
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "EMPTY_TUPLE": (),
}
