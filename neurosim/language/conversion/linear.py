"""A linear layer that is fed in spikes: the same numbers as floats, or by adding rows of weights."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...base.errors import NeurosimInputError, lookup
from ...kernels.spikes.accumulate.launch import encode_accumulate
from ...kernels.spikes.accumulate.reference import FEW
from ...kernels.spikes.encode.launch import as_numpy, numpy_rounding
from ..attention.gguf.blocks import BlockTensor
from ..attention.kinds.tracing import leaf
from . import int4
from .coding import Coder, straight
from .roundings import INT8

EXACT = 2.0**24  # integers up to here are float32
AT_ONCE = 2**20  # weights that are widened at a time, 4 MB in each of several copies
# Weights of a layer up to which a simulation keeps V as floats, and not as int8: a step of one token takes half the
# time then, and four times the memory.
MAX_FLOATS = 2**18
# Products of int8 as torch has them for x86: with AMX they take a seventh of the time of float32.
INTEGER_PRODUCTS = hasattr(torch, "_int_mm") and platform.machine() in ("x86_64", "AMD64")
MIN_TOKENS = 16  # from which on they are used
PLACE = 128  # a count beyond int8 is PLACE * high + low
WEIGHTS: Mapping[str, int] = {"float32": 32, "int8": 8, "int4": 4}  # bits


def takes_integers(counts: Tensor) -> bool:
    """Return whether counts [.., K] can take part in products of integers, and it pays."""
    tokens = counts.numel() // max(counts.shape[-1], 1)
    fits = tokens >= MIN_TOKENS and counts.shape[-1] * INT8**2 < 2**31
    if not (INTEGER_PRODUCTS and fits and counts.device.type == "cpu" and not counts.requires_grad):
        return False
    # A count that is NaN has no integer: floats pass it on.
    return bool(torch.isfinite(counts.sum()))


def integer_product(counts: Tensor, rows: Tensor) -> Tensor:
    """Return counts [.., K] times rows [N, K] int8, exactly, as integers [.., N]; counts are integers as floats."""
    flat = counts.reshape(-1, counts.shape[-1])
    far = flat.abs().amax(1) > INT8
    if not bool(far.any()):
        sums = torch._int_mm(flat.to(torch.int8), rows.T)
    else:
        # Counts beyond int8 have a second digit: few tokens have such.
        high = (flat / PLACE).round() * far[:, None]
        sums = torch._int_mm((flat - PLACE * high).to(torch.int8), rows.T).long()
        sums[far] += PLACE * integer_product(high[far], rows)
    return sums.view(*counts.shape[:-1], len(rows))


@final
class SpikedLinear(nn.Module):
    """y = W decode(encode(x)) + b in place of a `nn.Linear`.

    Simulated, as floats and with gradients: y = (token * s) V^T + b, where V = W diag(scales), rounded to int8 with
    one step for each output channel where weights are int8. Executed (`execute`): the counts select rows of V and the
    rows are added, out = sum_k s_k V[:, k], in int32 where weights are int8; then y = token * step * out + b. Both
    give the same bits with int8 weights. The executed form runs on the device of its weights, in float32.

    With int4 weights V lies in blocks of 32 channels (`conversion.int4`). Simulated and executed, it is widened to
    float32; the compiled step (`Decoder`) adds rows of 4 bits.

    Attributes:
        weight, bias: the dense layer's, [N, K] and [N] or None; of a saved model, whose int8 V alone is left, V.
        steps: [N] of V, where that is the weight and int8; else None.
        has_blocks: the weight is V, in blocks of 4 bits.
        coder: coder of the inputs.
        weight_type: "float32", "int8" or "int4", the type of V.
        planes: bit planes in which counts are sent, None where they are not sent bitwise.
    """

    def __init__(self, dense: nn.Linear, coder: Coder, weight_type: str = "float32", planes: int | None = None) -> None:
        super().__init__()
        lookup(WEIGHTS, weight_type, "weights")
        self.in_features = dense.in_features
        self.out_features = dense.out_features
        self.weight = dense.weight
        self.bias = dense.bias
        self.steps: nn.Parameter | None = None
        self.has_blocks = False
        self.coder = coder.to(dense.weight.device)
        self.weight_type = weight_type
        self.planes = planes
        self.threads = 1
        self._cached_floats: tuple[Any, Tensor, Tensor | None, Any] | None = None  # see `_values`
        self._rows: Any = None  # of V [K, N], while executed: a tensor on a GPU, a numpy array on a CPU

    @torch.no_grad()
    def execute(self, on: bool, *, threads: int = 1) -> None:
        """Add rows of weights for spikes (`on`), or simulate. Weights are copied: do not change them until the end."""
        self.threads = threads
        self._rows = None
        self._cached_floats = None
        if on:
            stored, steps = self.stored()
            rounding, thresholds = self.coder.kernel_rounding(self.in_features)
            self._rows = stored.T.contiguous()
            self._steps = steps
            self._thresholds = thresholds
            self._rounding = rounding
            # A GPU reads V in both orders, see `_executed`; a CPU takes numpy arrays.
            if stored.is_cuda:
                self._columns = stored.contiguous()
            else:
                self._rows, self._steps, self._thresholds = map(as_numpy, (self._rows, steps, thresholds))
                self._rounding = numpy_rounding(rounding)

    def prepare(self) -> None:
        """Round the weights that a simulation without gradients reads, where it keeps them."""
        if self._rows is None and not self.coder.bypassed:
            self._values(integers=True)

    def forget(self) -> None:
        """Give back the rounded weights that a simulation keeps; it rounds them again when it reads the layer."""
        self._cached_floats = None

    def stored(self) -> tuple[Tensor, Tensor | None]:
        """Return (V [N, K] float32 or int8, its steps [N] or None), as a chip would store them."""
        if self.weight_type == "float32":
            return (self.dense() * self.coder.scales).detach(), None
        if self.weight_type == "int4":
            return self.stored_int4(), None
        return self.stored_int8()

    def stored_int4(self) -> BlockTensor:
        """Return V in blocks of 4 bits; each weight rounded to the nearest where the layer has no blocks yet."""
        weight = self.weight.detach()
        if isinstance(weight, BlockTensor) and (self.has_blocks or self.keeps_int4()):
            return weight
        return int4.round_to_nearest(self.dense() * self.coder.scales)

    def keeps_int4(self) -> bool:
        """Return whether the dense layer's weights lie in blocks of 4 bits, and are V as they are."""
        return int4.is_int4(self.weight) and not self.has_blocks and bool((self.coder.scales == 1).all())

    def store_int4(self, blocks: Tensor) -> None:
        """Take V in blocks of 4 bits as the weight."""
        self.weight = nn.Parameter(blocks, requires_grad=False)
        self.has_blocks = True

    def stored_int8(self) -> tuple[Tensor, Tensor]:
        """Return (V [N, K] int8, its steps [N]), of a layer with int8 weights."""
        if self.steps is not None:
            return self.weight.detach(), self.steps.detach()
        weight = self.weight.detach()
        scales = self.coder.scales.detach()
        # A step is the largest |weight| of an output channel / 127; in parts, so that few rows are floats at once.
        parts = weight.split(max(1, AT_ONCE // weight.shape[1]))
        steps = torch.cat([(part * scales).abs().amax(1) for part in parts])
        steps = steps.clamp(min=torch.finfo(steps.dtype).tiny) / INT8
        rows = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
        for part, row, step in zip(parts, rows.split(len(parts[0])), steps.split(len(parts[0])), strict=True):
            row.copy_((part * scales / step[:, None]).round())
        return rows, steps

    def dense(self) -> Tensor:
        """Return [N, K] weights of the dense layer, as floats."""
        if self.has_blocks:
            return self.weight.float() / self.coder.scales
        if self.steps is None:
            return self.weight
        return self.weight.to(self.steps.dtype) * self.steps[:, None] / self.coder.scales

    def widen(self) -> None:
        """Turn the weights of a saved model into floats, so that they can be trained."""
        if self.steps is not None or self.has_blocks:
            dense = self.dense().detach().contiguous()
            self.steps = None
            self.has_blocks = False
            self.weight = nn.Parameter(dense, requires_grad=False)

    @leaf
    def forward(self, x: Tensor) -> Tensor:
        if self.coder.bypassed:
            return F.linear(x, self.dense().to(x.dtype), self.bias)
        if self._rows is None:
            y = self._simulated(x)
        else:
            y = self._executed(x)
        if self.bias is not None:
            y = y + self.bias
        if self.coder.histogram is not None:
            self.coder.histogram.outputs += int(torch.count_nonzero(y))
        return y

    def _simulated(self, x: Tensor) -> Tensor:
        """Return [.., N] y without bias, as floats, with the gradient of V's rounding taken as 1.

        With int8 weights all products and sums are integers. Without products of integers, float32 represents them
        below 2^24, and float64 is used beyond: as exact as int32.
        """
        counts, level = self.coder.coded(x)
        rows, steps = self._values(integers=takes_integers(counts))
        if rows.dtype == torch.int8:
            y = integer_product(counts, rows).to(counts.dtype)
        elif steps is None or not len(x) or float(counts.detach().abs().sum(-1).max()) * INT8 < EXACT:
            # There may be no tokens: kinds that select tokens pass on only the selected ones.
            y = F.linear(counts, rows)
        else:
            y = F.linear(counts.double(), rows.double()).to(counts.dtype)
        if steps is not None:
            y = y * steps
        if level is not None:
            y = y * level
        return y

    def _values(self, *, integers: bool) -> tuple[Tensor, Tensor | None]:
        """Return (V, its steps); V is cached until weight or scales change, except for gradients.

        Args:
            integers: V may be int8 for the product, where it is cached so; it is floats otherwise.
        """
        weight = self.weight
        scales = self.coder.scales
        if torch.is_grad_enabled() and (weight.requires_grad or scales.requires_grad):
            scaled = self.dense() * scales
            stored, steps = self.stored()
            # V is rounded; its gradient goes to the weights before rounding: straight through.
            if self.weight_type == "int4":
                return straight(stored.to(scaled.dtype), scaled), None
            if steps is None:
                return scaled, None
            return straight(stored.to(scaled.dtype), scaled / steps[:, None]), steps
        # The version of a tensor counts its changes in place.
        made_of = tuple((t.device, t.dtype, t.data_ptr(), t._version) for t in (weight, scales))
        if self._cached_floats is None or self._cached_floats[0] != made_of:
            stored, steps = self.stored()
            if stored.numel() <= MAX_FLOATS:
                stored = stored.to(torch.promote_types(weight.dtype, scales.dtype))
            # The tensors are stored too: while they live, no other can be at their addresses.
            self._cached_floats = made_of, stored, steps, (weight, scales)
        _, stored, steps, _ = self._cached_floats
        if integers and stored.dtype == torch.int8:
            return stored, steps
        return stored.to(torch.promote_types(weight.dtype, scales.dtype)), steps

    @torch.no_grad()
    def _executed(self, x: Tensor) -> Tensor:
        """Return [.., N] y without bias, by adding rows of V."""
        # Kernels count nothing: the histogram takes the counts of the simulated coder, which are the same.
        if self.coder.histogram is not None:
            self.coder.coded(x)
        flat = x.detach().reshape(-1, self.in_features)
        # A GPU skips rows of V for a few tokens, and takes V [N, K] for a batch.
        on_gpu = flat.is_cuda
        rows = self._rows
        if on_gpu and len(flat) > FEW:
            rows = self._columns.T
        try:
            y, _ = encode_accumulate(
                flat if on_gpu else flat.float().numpy(),
                rows,
                self.coder.k,
                self._thresholds,
                self.threads,
                steps=self._steps,
                rounding=self._rounding,
                planes=self.planes,
            )
        except ValueError as error:
            raise NeurosimInputError(
                f"spiking layer of {self.in_features} to {self.out_features} channels: {error}; the model's own "
                "activations are not finite: compare it with the library that wrote it"
            ) from None
        if not on_gpu:
            y = torch.from_numpy(y)
        return y.view(*x.shape[:-1], self.out_features).to(x.dtype)
