"""Quantised weights of GGUF files: blocks of one row, decoded when they are used.

A block has 32 or 256 weights q with their scales. A weight is

- Q8_0: d q;  Q4_0: d (q - 8);  Q5_0: d (q - 16);  Q4_1, Q5_1: d q + m, with one d (and m) for 32 weights;
- Q4_K, Q5_K: d s q - m t, with d and m for 256 weights, 6-bit s and t for 32;
- Q6_K: d s (q - 32), with d for 256 weights, 8-bit s for 16,

where d and m are float16. All of it is decoded in float32.

Source: ggml-quants of ggml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from ....base.errors import NeurosimInputError

FLOATS: Mapping[int, torch.dtype] = {0: torch.float32, 1: torch.float16, 28: torch.float64, 30: torch.bfloat16}
AT_ONCE = 2**17  # weights that are decoded at a time: their temporary copies stay in the cache


@dataclass(frozen=True, eq=False)
class BlockType:
    """A type of quantised weights.

    Attributes:
        name: of ggml, such as 'Q4_1'.
        values, bytes: weights of a block, and bytes of it.
        decode: function from blocks [n, bytes] uint8 to weights [n, values] float32.
    """

    name: str
    values: int
    bytes: int
    decode: Callable[[Tensor], Tensor]

    @property
    def dtype(self) -> torch.dtype:
        """The type that a `BlockTensor` shows: 16 bits, as weights that are kept as they are."""
        return torch.float16


def _half(blocks: Tensor, at: int) -> Tensor:
    """Return [n, 1] the float16 at byte `at` of each block, as float32."""
    return blocks[:, at : at + 2].contiguous().view(torch.float16).float()


def _nibbles(packed: Tensor) -> Tensor:
    """Return [n, 2 m] float32: the low halves of [n, m] bytes, then the high ones."""
    out = torch.empty(len(packed), 2, packed.shape[1], device=packed.device)
    out[:, 0] = packed & 15
    out[:, 1] = packed >> 4
    return out.flatten(1)


def _fifth_bits(blocks: Tensor, at: int) -> Tensor:
    """Return [n, 32] float32: the bits of the 32-bit word at byte `at`, each worth 16."""
    shifts = torch.arange(8, dtype=torch.uint8, device=blocks.device)
    bits = (blocks[:, at : at + 4, None] >> shifts) & 1
    return (bits.flatten(1) << 4).float()


def _q8_0(blocks: Tensor) -> Tensor:
    return blocks[:, 2:].view(torch.int8).float().mul_(_half(blocks, 0))


def _q4_0(blocks: Tensor) -> Tensor:
    # d (q - 8): the float16 d comes first, then 16 bytes of two weights each.
    return _nibbles(blocks[:, 2:]).sub_(8).mul_(_half(blocks, 0))


def _q4_1(blocks: Tensor) -> Tensor:
    # d q + m: two float16, then the weights.
    return _nibbles(blocks[:, 4:]).mul_(_half(blocks, 0)).add_(_half(blocks, 2))


def _q5_0(blocks: Tensor) -> Tensor:
    q = _nibbles(blocks[:, 6:]).add_(_fifth_bits(blocks, 2))
    return q.sub_(16).mul_(_half(blocks, 0))


def _q5_1(blocks: Tensor) -> Tensor:
    q = _nibbles(blocks[:, 8:]).add_(_fifth_bits(blocks, 4))
    return q.mul_(_half(blocks, 0)).add_(_half(blocks, 2))


def _scales_and_minima(packed: Tensor) -> tuple[Tensor, Tensor]:
    """Return (s, t), each [n, 8], from the 12 bytes of a block that hold them in 6 bits.

    Bytes 0 to 3 have s 0 to 3 in their low bits, bytes 4 to 7 t 0 to 3; bytes 8 to 11 have the low four bits of s and t
    4 to 7, whose high two bits are in bytes 0 to 7.
    """
    first, second, third = packed.split(4, 1)
    scales = torch.cat([first & 63, (third & 15) | ((first >> 6) << 4)], 1)
    minima = torch.cat([second & 63, (third >> 4) | ((second >> 6) << 4)], 1)
    return scales, minima


def _in_eighths(blocks: Tensor, q: Tensor) -> Tensor:
    """Return d s q - m t of q [n, 8, 32], with the head of Q4_K and Q5_K blocks."""
    scales, minima = _scales_and_minima(blocks[:, 4:16])
    steps = _half(blocks, 0) * scales.float()
    offsets = _half(blocks, 2) * minima.float()
    return (q.float().mul_(steps[:, :, None]).sub_(offsets[:, :, None])).flatten(1)


def _q4_k(blocks: Tensor) -> Tensor:
    packed = blocks[:, 16:].unflatten(1, (4, 32))
    return _in_eighths(blocks, torch.stack([packed & 15, packed >> 4], 2).flatten(1, 2))


def _q5_k(blocks: Tensor) -> Tensor:
    packed = blocks[:, 48:].unflatten(1, (4, 32))
    low = torch.stack([packed & 15, packed >> 4], 2).flatten(1, 2)
    shifts = torch.arange(8, dtype=torch.uint8, device=blocks.device)[:, None]
    # Bit j of byte i is the fifth bit of weight i of the j-th 32 weights.
    high = (blocks[:, None, 16:48] >> shifts) & 1
    return _in_eighths(blocks, low | (high << 4))


def _q6_k(blocks: Tensor) -> Tensor:
    # Two halves of 128 weights: 64 bytes with the low four bits of two weights, 32 with the high two bits of four.
    low = blocks[:, :128].unflatten(1, (2, 1, 64))
    low = torch.cat([low & 15, low >> 4], 2).unflatten(3, (2, 32)).flatten(2, 3)
    shifts = torch.tensor([0, 2, 4, 6], dtype=torch.uint8, device=blocks.device)[:, None]
    high = (blocks[:, 128:192].unflatten(1, (2, 1, 32)) >> shifts) & 3
    q = (low | (high << 4)).flatten(1).unflatten(1, (16, 16))
    steps = _half(blocks, 208) * blocks[:, 192:208].view(torch.int8).float()
    return q.float().sub_(32).mul_(steps[:, :, None]).flatten(1)


# By the number that a file has for them.
BLOCKS: Mapping[int, BlockType] = {
    2: BlockType("Q4_0", 32, 18, _q4_0),
    3: BlockType("Q4_1", 32, 20, _q4_1),
    6: BlockType("Q5_0", 32, 22, _q5_0),
    7: BlockType("Q5_1", 32, 24, _q5_1),
    8: BlockType("Q8_0", 32, 34, _q8_0),
    12: BlockType("Q4_K", 256, 144, _q4_k),
    13: BlockType("Q5_K", 256, 176, _q5_k),
    14: BlockType("Q6_K", 256, 210, _q6_k),
}
NAMES: Mapping[int, str] = {0: "F32", 1: "F16", 28: "F64", 30: "BF16"} | {
    number: blocks.name for number, blocks in BLOCKS.items()
}


def decode(kind: BlockType, rows: Tensor) -> Tensor:
    """Return [.., rows, channels] float32 of rows of blocks [.., rows, bytes] uint8."""
    flat = rows.reshape(-1, kind.bytes)
    out = torch.empty(len(flat), kind.values, device=rows.device)
    step = AT_ONCE // kind.values
    for begin in range(0, len(flat), step):
        out[begin : begin + step] = kind.decode(flat[begin : begin + step])
    return out.view(*rows.shape[:-1], rows.shape[-1] // kind.bytes * kind.values)


@final
class BlockTensor(Tensor):
    """A matrix of weights [rows, channels] in blocks, which every operation on it decodes to float32.

    It takes the memory of its blocks alone, and shows float16 as its type: like a matrix in 16 bits, it is kept as it
    is, shared by copies, and widened by `.float()` to be trained. Rows that are cut or copied out stay in blocks.

    Attributes:
        kind: type of the blocks.
        blocks: [rows, bytes] uint8.
    """

    kind: BlockType
    blocks: Tensor

    @staticmethod
    def __new__(cls, kind: BlockType, blocks: Tensor) -> BlockTensor:
        shape = (*blocks.shape[:-1], blocks.shape[-1] // kind.bytes * kind.values)
        made = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=kind.dtype, device=blocks.device)
        made.kind = kind
        made.blocks = blocks
        return made

    def __init__(self, kind: BlockType, blocks: Tensor) -> None:
        pass

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"BlockTensor({self.kind.name}, {list(self.shape)})"

    def __deepcopy__(self, memo: dict[int, object]) -> Tensor:
        """Return a parameter or tensor of the same blocks, which nothing changes."""
        copied = _alias(self)
        if isinstance(self, nn.Parameter):
            return nn.Parameter(copied, requires_grad=self.requires_grad)
        return copied

    def data_ptr(self) -> int:
        return self.blocks.data_ptr()

    def decoded(self) -> Tensor:
        """Return the weights as float32."""
        return decode(self.kind, self.blocks)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do what reading, converting and running a model ask for, before torch looks for an operation.

        It would import its distributed tensors for the first one: 55 MB, and a second of processor time.
        """
        own = _OFTEN.get(function)
        result = None if own is None else own(*args, **(kwargs or {}))
        if result is None:
            return torch._C._disabled_torch_function_impl(function, tuple(types), tuple(args), dict(kwargs or {}))
        return result

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function._schema.is_mutable:
            raise NeurosimInputError(
                f"{function.__name__}: weights in blocks cannot be changed; widen them by .float()"
            )
        if isinstance(args[0], BlockTensor):
            own = _SAME.get(function.overloadpacket)
            result = None if own is None else own(args[0], *args[1:], **kwargs)
            if result is not None:
                return result
        # All other operations see float32 weights.
        plain = torch.utils._pytree.tree_map(lambda x: x.decoded() if isinstance(x, BlockTensor) else x, (args, kwargs))
        return function(*plain[0], **plain[1])


def _of_rows(tensor: BlockTensor, rows: Tensor) -> BlockTensor:
    return BlockTensor(tensor.kind, rows)


def _alias(tensor: BlockTensor, **kwargs: Any) -> BlockTensor:
    return _of_rows(tensor, tensor.blocks)


def _split(tensor: BlockTensor, size: Any, dim: int = 0) -> tuple[BlockTensor, ...] | None:
    if dim not in (0, -tensor.dim()):
        return None
    return tuple(_of_rows(tensor, rows) for rows in tensor.blocks.split(size, 0))


def _slice(
    tensor: BlockTensor, dim: int = 0, begin: int | None = None, end: int | None = None, step: int = 1
) -> BlockTensor | None:
    if dim not in (0, -tensor.dim()):
        return None
    return _of_rows(tensor, tensor.blocks[begin:end:step])


def _embedding(tensor: BlockTensor, indices: Tensor, *rest: object) -> Tensor:
    return decode(tensor.kind, tensor.blocks[indices])


def _index_select(tensor: BlockTensor, dim: int, index: Tensor) -> BlockTensor | None:
    if dim not in (0, -tensor.dim()):
        return None
    return _of_rows(tensor, tensor.blocks.index_select(0, index))


def _select(tensor: BlockTensor, dim: int, index: int) -> BlockTensor | None:
    if dim not in (0, -tensor.dim()) or tensor.dim() < 2:
        return None
    return _of_rows(tensor, tensor.blocks[index])


def _to(
    tensor: BlockTensor, dtype: torch.dtype | None = None, device: torch.device | None = None, **kwargs: Any
) -> Tensor:
    """Decode in another type; move the blocks to another device otherwise."""
    blocks = tensor.blocks.to(device)
    if dtype in (None, tensor.dtype):
        return _of_rows(tensor, blocks)
    return decode(tensor.kind, blocks).to(dtype)


_ATEN = torch.ops.aten
# Operations whose result is in blocks again, or that need some rows alone.
_SAME: Mapping[Any, Callable[..., Any]] = {
    _ATEN.alias: _alias,
    _ATEN.clone: _alias,
    _ATEN.detach: _alias,
    _ATEN.embedding: _embedding,
    _ATEN.index_select: _index_select,
    _ATEN.select: _select,
    _ATEN.slice: _slice,
    _ATEN.split: _split,
    _ATEN.split_with_sizes: _split,
    _ATEN._to_copy: _to,
}


def _direct(own: Callable[..., Any]) -> Callable[..., Any]:
    """Return a form of a function that is None where gradients are wanted, or the first argument is not in blocks."""

    def direct(tensor: Tensor, *rest: Any, **kwargs: Any) -> Any:
        if not isinstance(tensor, BlockTensor) or _wants_gradient(tensor):
            return None
        return own(tensor, *rest, **kwargs)

    return direct


def _wants_gradient(tensor: Tensor) -> bool:
    return tensor.requires_grad and torch.is_grad_enabled()


def _decoded_first(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a function of the decoded weights."""
    return _direct(lambda tensor, *rest: function(tensor.decoded(), *rest))


def _converted(tensor: BlockTensor, *rest: Any, **kwargs: Any) -> Tensor | None:
    """Return the weights in another type of floats; None where more than this is asked for."""
    if kwargs or len(rest) != 1 or not isinstance(rest[0], torch.dtype):
        return None
    return _to(tensor, rest[0])


def _item(tensor: BlockTensor, index: Any) -> BlockTensor | None:
    if type(index) is int:
        return _select(tensor, 0, index)
    if not isinstance(index, slice):
        return None
    return _of_rows(tensor, tensor.blocks[index])


def _looked_up(indices: Tensor, weight: Tensor, *rest: Any, **kwargs: Any) -> Tensor | None:
    """Return rows of an embedding; None where an option asks for more."""
    plain = not rest and kwargs.get("max_norm") is None
    if not plain or not isinstance(weight, BlockTensor) or _wants_gradient(weight):
        return None
    return _embedding(weight, indices)


# The same by the names that callers use.
_OFTEN: Mapping[Any, Callable[..., Any]] = {
    Tensor.detach: _alias,
    Tensor.float: _direct(lambda tensor: tensor.decoded()),
    Tensor.index_select: _direct(_index_select),
    Tensor.mul: _decoded_first(torch.mul),
    Tensor.split: _direct(_split),
    Tensor.to: _direct(_converted),
    Tensor.__getitem__: _direct(_item),
    torch.isfinite: _decoded_first(torch.isfinite),
    nn.functional.embedding: _looked_up,
}
