"""NIR's linear nodes as sparse matrices [outputs, inputs], so that any chain of them is one product."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...base.errors import NeurosimInputError, require

Shape = tuple[int, ...]
Pair = tuple[int, int]
# Entries of one matrix: 2^27 of them take 2 GiB while it is made.
MAX_ENTRIES = 1 << 27


@dataclass(frozen=True, eq=False)
class Transform:
    """y = matrix x + bias, for signals of these shapes.

    Attributes:
        matrix: sparse [size of the output, size of the input]; None means y = x.
        bias: [size of the output]; None means 0.
        delay: [size of the output] s.
    """

    output: Shape
    matrix: Any = None
    bias: NDArray[np.float64] | None = None
    delay: NDArray[np.float64] | None = None


def transform(node: Any, title: str, shape: Shape) -> Transform:
    """Return a linear node as a matrix for signals of this shape; `title` names the node in errors.

    Raises:
        NeurosimInputError: the node does not fit the signal, or is too large.
    """
    return TRANSFORMS[type(node).__name__](node, title, shape)


def _linear(node: Any, title: str, shape: Shape) -> Transform:
    weight = np.asarray(node.weight, np.float64)
    require(weight.ndim == 2, f"{title}.weight", "must be [outputs, inputs]", weight.shape)
    size = math.prod(shape)
    require(weight.shape[1] == size, f"{title}.weight", f"must have the {size} inputs that arrive", weight.shape[1])
    return Transform((weight.shape[0],), sparse.csr_matrix(weight), _bias(node, title, weight.shape[0]))


def _bias(node: Any, title: str, size: int) -> NDArray[np.float64] | None:
    bias = getattr(node, "bias", None)
    if bias is None:
        return None
    return vector(bias, f"{title}.bias", size)


def _scale(node: Any, title: str, shape: Shape) -> Transform:
    scale = vector(node.scale, f"{title}.scale", math.prod(shape))
    return Transform(shape, sparse.diags_array(scale, format="csr"))


def _delay(node: Any, title: str, shape: Shape) -> Transform:
    delay = vector(node.delay, f"{title}.delay", math.prod(shape))
    require(bool((delay >= 0).all()), f"{title}.delay", "must be >= 0 s", delay.min(initial=0.0))
    return Transform(shape, delay=delay)


def _flatten(node: Any, title: str, shape: Shape) -> Transform:
    if len(shape) <= 1:
        return Transform(shape)
    first = int(node.start_dim) % len(shape)
    last = int(node.end_dim) % len(shape)
    require(first <= last, f"{title}.end_dim", f"must be >= start_dim {first}", last)
    return Transform((*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def _same(node: Any, title: str, shape: Shape) -> Transform:
    return Transform(shape)


def _conv2d(node: Any, title: str, shape: Shape) -> Transform:
    kernel = np.asarray(node.weight, np.float64)
    require(kernel.ndim == 4, f"{title}.weight", "must be [filters, channels, rows, columns]", kernel.shape)
    stride = pair(node.stride, title, "stride")
    dilation = pair(node.dilation, title, "dilation")
    ends = padding(node.padding, title, kernel.shape[2:], dilation, stride)
    return _convolve(kernel, node, title, shape, stride, dilation, ends)


def _conv1d(node: Any, title: str, shape: Shape) -> Transform:
    kernel = np.asarray(node.weight, np.float64)
    require(kernel.ndim == 3, f"{title}.weight", "must be [filters, channels, columns]", kernel.shape)
    require(len(shape) == 2, title, "needs a signal of shape (channels, columns)", shape)
    # One row of a two-dimensional convolution.
    stride = (1, pair(node.stride, title, "stride")[1])
    dilation = (1, pair(node.dilation, title, "dilation")[1])
    _, ends = padding(node.padding, title, (1, kernel.shape[2]), dilation, stride)
    flat = _convolve(
        kernel[:, :, None],
        node,
        title=title,
        shape=(shape[0], 1, shape[1]),
        stride=stride,
        dilation=dilation,
        ends=((0, 0), ends),
    )
    return Transform((flat.output[0], flat.output[2]), flat.matrix, flat.bias)


def _convolve(
    kernel: NDArray[Any], node: Any, title: str, shape: Shape, stride: Pair, dilation: Pair, ends: tuple[Pair, Pair]
) -> Transform:
    matrix, output = convolution(kernel, title, shape, stride, ends, dilation, int(node.groups))
    bias = _bias(node, title, kernel.shape[0])
    # One bias for each filter.
    if bias is not None:
        bias = np.repeat(bias, math.prod(output[1:]))
    return Transform(output, matrix, bias)


def _pool(node: Any, title: str, shape: Shape, average: bool) -> Transform:
    require(len(shape) == 3, title, "needs a signal of shape (channels, rows, columns)", shape)
    size = pair(node.kernel_size, title, "kernel_size")
    stride = pair(node.stride, title, "stride")
    ends = padding(node.padding, title, window=size, dilation=(1, 1), stride=stride)
    weight = 1 / math.prod(size) if average else 1.0
    # Each channel alone: as many groups as channels.
    kernel = np.full((shape[0], 1, *size), weight)
    matrix, output = convolution(kernel, title, shape, stride, ends, dilation=(1, 1), groups=shape[0])
    return Transform(output, matrix)


TRANSFORMS: Mapping[str, Callable[[Any, str, Shape], Transform]] = {
    "Affine": _linear,
    "AvgPool2d": lambda node, title, shape: _pool(node, title, shape, average=True),
    "Conv1d": _conv1d,
    "Conv2d": _conv2d,
    "Delay": _delay,
    "Flatten": _flatten,
    "Identity": _same,
    "Linear": _linear,
    "Scale": _scale,
    "SumPool2d": lambda node, title, shape: _pool(node, title, shape, average=False),
}


def convolution(
    kernel: NDArray[Any],
    title: str,
    shape: Shape,
    stride: Pair,
    ends: tuple[Pair, Pair],
    dilation: Pair,
    groups: int,
) -> tuple[Any, Shape]:
    """Return the matrix of a cross-correlation, as torch's conv2d, and the shape of its output.

    Args:
        kernel: [filters, channels / groups, rows, columns].
        shape: channels, rows and columns of the input.
        ends: padding before and after, of rows and of columns.
    """
    require(len(shape) == 3, title, "needs a signal of shape (channels, rows, columns)", shape)
    filters, each, *window = kernel.shape
    require(groups > 0 and filters % groups == 0, f"{title}.groups", f"must divide the {filters} filters", groups)
    channels = each * groups
    require(channels == shape[0], f"{title}.weight", f"must take the {shape[0]} channels that arrive", channels)
    # Output size of torch's conv2d: (n + padding - dilation (kernel - 1) - 1) / stride + 1, rounded down.
    sizes = []
    for axis, size in enumerate(window):
        reach = dilation[axis] * (size - 1) + 1
        sizes.append((shape[1 + axis] + sum(ends[axis]) - reach) // stride[axis] + 1)
    rows, columns = sizes
    require(min(rows, columns) > 0, title, f"must fit into the signal {shape}", tuple(window))
    entries = kernel.size * rows * columns
    rule = f"must have at most {MAX_ENTRIES:,} connections to be unfolded"
    require(entries <= MAX_ENTRIES, title, rule, f"{entries:,}")
    # An axis each for the filter, the channel in its group, the place in the kernel and the place in the output.
    full = (filters, each, *window, rows, columns)
    number, member, kernel_row, kernel_column, row, column = np.ogrid[tuple(map(slice, full))]
    y = row * stride[0] - ends[0][0] + kernel_row * dilation[0]
    x = column * stride[1] - ends[1][0] + kernel_column * dilation[1]
    channel = number // (filters // groups) * each + member
    # Zeros around the signal are no inputs.
    inside = np.broadcast_to((y >= 0) & (y < shape[1]) & (x >= 0) & (x < shape[2]), full)
    inputs = np.broadcast_to((channel * shape[1] + y) * shape[2] + x, full)[inside]
    outputs = np.broadcast_to((number * rows + row) * columns + column, full)[inside]
    values = np.broadcast_to(kernel[..., None, None], full)[inside]
    size = filters * rows * columns, math.prod(shape)
    matrix = sparse.csr_matrix((values, (outputs, inputs)), size)
    return matrix, (filters, rows, columns)


def padding(value: Any, title: str, window: Shape, dilation: Pair, stride: Pair) -> tuple[Pair, Pair]:
    """Return the zeros before and after, of rows and of columns: a number, one for each, "valid" or "same"."""
    word = value.decode() if isinstance(value, bytes) else value
    if not isinstance(word, str):
        rows, columns = pair(word, title, "padding", 0)
        return (rows, rows), (columns, columns)
    if word == "valid":
        return (0, 0), (0, 0)
    require(word == "same", f"{title}.padding", "must be numbers, 'same' or 'valid'", word)
    require(stride == (1, 1), f"{title}.stride", "must be 1 where padding is 'same'", stride)
    # Where the zeros cannot be shared evenly, the odd one comes last, as in torch.
    rows, columns = (d * (k - 1) for d, k in zip(dilation, window, strict=True))
    return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)


def pair(value: Any, title: str, key: str, minimum: int = 1) -> Pair:
    """Return one number for each dimension, from one or two."""
    array = np.asarray(value).ravel()
    are_numbers = array.dtype.kind in "iuf" and array.size in (1, 2)
    if not are_numbers or np.any(array % 1) or np.any(array < minimum):
        raise NeurosimInputError(f"{title}.{key}: must be one or two integers >= {minimum} (got {value!r:.60})")
    return int(array[0]), int(array[-1])


def vector(value: Any, name: str, size: int) -> NDArray[np.float64]:
    """Return [size] numbers, from as many in any shape, or from one; `name` stands in errors."""
    array = np.asarray(value, np.float64).ravel()
    require(array.size in (1, size), name, f"must hold {size} values", array.size)
    require(bool(np.isfinite(array).all()), name, "must be finite", "NaN or infinity")
    return np.broadcast_to(array, size)
