"""Torch functions on values that record: their operations compute what torch does, and neighbours become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import neurosim.language.conversion.decoder.leaves  # noqa: F401 - enters what leaves become
from neurosim.kernels.decode import program
from neurosim.language.attention.kinds.modules import l2_normalise, repeat_heads
from neurosim.language.conversion.decoder.memory import Buffer, SequenceStates, Weights, aligned
from neurosim.language.conversion.decoder.operations import StepBuilder
from neurosim.language.conversion.decoder.program import NotCompiledError
from neurosim.language.conversion.decoder.traced import Position, Traced

B = 3
H = 4
K = 6
DRAWS = torch.Generator().manual_seed(3)
BIAS, ROW, MATRIX = (torch.randn(*shape, generator=DRAWS) for shape in ((H, K), (K,), (K, K)))


def traced(function: Callable[..., Any], *inputs: Tensor) -> tuple[Tensor, int]:
    """Return what the operations compute that a function appends, and their number."""
    tokens = len(inputs[0])
    b = StepBuilder(tokens, 1, SequenceStates(tokens), Weights())
    values = []
    for x in inputs:
        array = aligned((len(x), x[0].numel()), np.float32)
        array[:] = x.flatten(1).numpy()
        values.append(Traced.of(b, Buffer(array, len(x), x[0].numel()), x.shape))
    out = function(*values)
    buffer = out.token_rows
    operations = np.array(b.lists[0], np.int64).reshape(-1, program.COLUMNS)
    context = np.zeros(program.POSITIONS + tokens, np.int64)
    sync = np.zeros(64, np.int64)
    program.run(operations, context.ctypes.data, 0, 1, sync.ctypes.data, 1)
    return torch.from_numpy(buffer.array.copy()).view(out.shape), len(operations)


CASES: dict[str, tuple[Callable[..., Any], int]] = {
    "a decay": (lambda x: (F.logsigmoid(x + BIAS) / 16).clamp(min=-0.1), 1),
    "softplus behind a sum": (lambda x: -BIAS.exp() * F.softplus(x + ROW), 1),
    "constants fold": (lambda x: 2 * (3 - 2 * x.sigmoid()) + 1, 1),
    "one minus": (lambda x: 1 - x, 1),
    "of a negative": (lambda x: F.logsigmoid(-x).exp(), 1),
    "square of relu": (lambda x: F.relu(x).square(), 1),
    "elu + 1": (lambda x: F.elu(x) + 1, 1),
    "gelu of tanh": (lambda x: F.gelu(x.tanh(), approximate="tanh"), 2),
    "reciprocals": (lambda x: 1 / (x.square() + 1).sqrt(), 3),
    "logarithms add": (lambda x: torch.logaddexp(ROW, x - 1.5), 2),
    "l2": (lambda x: l2_normalise(x, 1e-6), 1),
    "softmax": (lambda x: (x * 2).softmax(-1), 2),
    "mean of squares": (lambda x: x.square().mean(-1, keepdim=True) * x, 4),
    "norms": (lambda x: F.rms_norm(F.layer_norm(x, (K,)), (K,), ROW, 1e-6), 2),
    "heads": (lambda x: F.silu(x.flatten(-2).unflatten(-1, (2, -1)))[:, :, 0], 2),
    "columns": (lambda x: torch.cat([x[..., 1:3], torch.ones(B, 1, H, 2), x[..., -1:]], -1), 4),
    "unread columns": (lambda x: torch.ones_like(x[..., :2]) + x.split([2, 4], -1)[0], 2),
    "unbound": (lambda x: torch.stack([x.unbind(-1)[2], x.unbind(-1)[0]], -1), 4),
    "repeated": (lambda x: F.silu(repeat_heads(x, 2)), 2),
    "dense": (lambda x: F.linear(x, MATRIX, ROW) + x, 1),
    "matrix": (lambda x: x @ MATRIX, 1),
    "ratio": (lambda x: x[..., :-1] / (x[..., -1:] + 9.0), 1),
    "repeated, scaled": (lambda x: F.elu(repeat_heads(x * 2 + 1, 2)) + 1, 3),
    "addcmul": (lambda x: torch.addcmul(x, x * 2 - 1, ROW), 2),
    "sizes": (lambda x: (x - ROW).abs() + 1, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_functions_of_one_tensor(name: str) -> None:
    function, count = CASES[name]
    x = torch.randn(B, 1, H, K, generator=torch.Generator().manual_seed(1))
    found, operations = traced(function, x)
    torch.testing.assert_close(found, function(x).expand(found.shape), rtol=1e-5, atol=1e-5)
    assert operations == count


PAIRS: dict[str, tuple[Callable[..., Any], int]] = {
    "gate": (lambda x, y: F.silu(x) * y, 1),
    "a factor of each head": (lambda x, y: x * y[..., :1].sigmoid(), 3),
    "a row for all heads": (lambda x, y: x + y[:, :, :1], 2),
    "outer product": (lambda x, y: x[..., None] * y[..., None, :], 1),
    "product": (lambda x, y: (x[..., None, :] @ (x[..., None] * y[..., None, :]))[..., 0, :], 2),
    "difference": (lambda x, y: x - y * ROW, 1),
    "token shift": (lambda x, y: torch.addcmul(x, y - x, ROW), 1),
    "lerp": (lambda x, y: torch.lerp(x, y, y.sigmoid()), 2),
    "quotient": (lambda x, y: x / (1 + y.square()), 2),
}


@pytest.mark.parametrize("name", PAIRS)
def test_functions_of_two_tensors(name: str) -> None:
    function, count = PAIRS[name]
    draws = torch.Generator().manual_seed(2)
    x = torch.randn(B, 1, H, K, generator=draws)
    y = torch.randn(B, 1, H, K, generator=draws)
    found, operations = traced(function, x, y)
    torch.testing.assert_close(found, function(x, y).expand(found.shape), rtol=1e-5, atol=1e-5)
    assert operations <= count


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x.cumsum(-1), "cumsum along more than the one token: no compiled operation computes it"),
        (lambda x: x.sort(-1), "torch function 'sort': no compiled operation computes it"),
        (lambda x: x.sum(1), r"torch function 'sum' along axes \[1\]: compiled along the last one alone"),
        (lambda x: x if x > 0 else -x, "a comparison of the values of tokens: no compiled operation computes it"),
        (lambda x: x[1:], "a choice of sequences: no compiled operation computes it"),
        (lambda x: x[..., ::2], r"index slice\(None, None, 2\): no compiled operation computes it"),
        (lambda x: x**3, "power 3: no compiled operation computes it"),
        (lambda x: x * Position(), "a value that depends on the position of its token"),
        (lambda x: torch.where(cast(Any, Position() > 2), x, -x), "a value that depends on the position of its token"),
        (lambda x: x + torch.arange(B)[:, None, None, None], "a constant of each sequence"),
        (F.dropout, r"dropout: a step does not train; call model.eval\(\)"),
        (lambda x: x.add_(1), "torch function 'add_'"),
        (lambda x: x or x, "a decision by the values of tokens: no compiled operation takes it"),
    ],
)
def test_what_no_operation_computes(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(NotCompiledError, match=words):
        traced(function, torch.zeros(B, 1, H, K))
