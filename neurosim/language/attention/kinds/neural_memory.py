"""Memories that are networks, trained token by token while they are read, and Titans; those of Miras are in `miras`."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import lookup, require
from ....base.rules import Rule
from ....kernels.decode.networks import cpu as networks
from . import chunks
from .base import Inputs, Shared, State, pieces
from .compiled import Heads, Step
from .modules import divide, l2_normalise, linear, low_rank, split_heads
from .qkv import ConvolvedMixer, GatedMixer


@dataclass(eq=False, repr=False, kw_only=True)
class NeuralMemory(ConvolvedMixer, GatedMixer):
    """A_t = (1 - alpha_t) A_{t-1} - theta_t dL(M(k_t) - v_t)/dW,  W_t = w(A_t),  o_t = M_{W_t}(q_t).

    M is the network of weights W: W^T x for `memory_depth` 1, else x + norm(W_n^T gelu(.. W_1^T x)) with hidden layers
    of `expansion` K channels. The gradient is taken at the weights before the first of every `span` tokens, so that
    all of a span are computed at once. L and w are the kind's: its loss and its retention. q, k and v pass
    convolutions and silu, q and k are normalised; alpha and theta are sigmoids of W x for each head and token, the
    latter times `max_step`. A starts from trained weights.

    The memory is [B, H, 3, weights of M]: A before the span, A, and its momentum where the kind has one.

    Args:
        num_heads, head_dim: heads, and channels of q, k and v in each (default: width / num_heads).
        memory_depth: layers of M, 1 to 4.
        expansion: channels of the hidden layers, in multiples of K.
        span: tokens whose gradients are taken at the same weights.
        max_step: bound of theta. A network of hidden layers with steps near 1 amplifies rounding from token to token.
        gates: 'head', or 'channel': alpha, theta and momentum of each channel of a value, from `gate_rank` channels, as
            in Miras. They hold for the columns of the last matrix, their means for the other matrices.
        gate_rank: channels that gates of channels come from.
        read: 'exact', M of the weights at every token, or 'linear' within a span: M of the weights before it, and its
            derivative times their change, so that no token has weights of its own. One matrix is linear itself.
        gate_fn: activation of the output gate; None for no gate.
    """

    why_not_parallel = "the gradients of its tokens depend on the weights that the tokens before left"
    recurrence = ("recur", "gradient", "pull", "weights", "read_weights", "retained", "recall")
    has_momentum = False
    is_identity = True  # W = A

    num_heads: Annotated[int, Rule("> 0")] = 4
    head_dim: int | None = None
    memory_depth: int = 2
    expansion: Annotated[int, Rule("> 0")] = 4
    span: Annotated[int, Rule(">= 1 tokens")] = 16
    max_step: Annotated[float, Rule("finite and > 0")] = 0.1
    gates: str = "head"
    gate_rank: Annotated[int, Rule("> 0")] = 32
    read: str = "exact"
    gate_fn: str | None = None
    conv_size: int = 4

    momentum_proj: nn.Module = field(init=False)

    def build(self) -> None:
        self._check_options()
        size = self.head_dim or divide(self.width, self.num_heads, self.name("width"))
        self.heads = self.num_heads
        self.k_size = size
        self.v_size = size
        channels = self.num_heads * size
        hidden = self.expansion * size
        self.project_qkv(channels, channels, channels)
        self.convolve()
        inner = [hidden] * (self.memory_depth - 1)
        self.shapes = list(zip([size, *inner], [*inner, size], strict=True))
        self.first = nn.Parameter(self.first_weights())
        # Open at the start: alpha .02, and theta half of its largest.
        self.alpha_proj, alpha = self._gate()
        self.theta_proj, _ = self._gate()
        nn.init.constant_(alpha.bias, -4.0)
        if self.has_momentum:
            self.momentum_proj, _ = self._gate()
        self.output()

    def _check_options(self) -> None:
        require(1 <= self.memory_depth <= 4, self.name("memory_depth"), "must be 1 to 4 layers", self.memory_depth)
        require(self.gates in ("head", "channel"), self.name("gates"), "must be 'head' or 'channel'", self.gates)
        lookup(dict.fromkeys(("exact", "linear")), self.read, self.name("read"))
        rule = "must be 'exact' with gates of channels or a retention"
        require(self.sums_products or self.read == "exact", self.name("read"), rule, self.read)

    @property
    def sums_products(self) -> bool:
        """Tell whether the change of a matrix is a sum of outer products, one of each token."""
        return self.gates == "head" and self.is_identity

    @property
    def by_products(self) -> bool:
        """Tell whether tokens read the sums of outer products, and need no weights of their own."""
        return self.sums_products and (self.memory_depth == 1 or self.read == "linear")

    def _gate(self) -> tuple[nn.Module, nn.Linear]:
        """Return the layers from x to a gate, and the last of them."""
        if self.gates == "head":
            layer = linear(self.width, self.heads, bias=True)
            return layer, layer
        layers = low_rank(self.width, self.gate_rank, self.heads * self.v_size, bias=True)
        return layers, cast(nn.Linear, layers[-1])

    def first_weights(self) -> Tensor:
        """Return A [H, weights of M] at the start of training."""
        return torch.cat([torch.randn(self.heads, rows * columns) * rows**-0.5 for rows, columns in self.shapes], -1)

    @abstractmethod
    def pull(self, error: Tensor, inputs: Inputs) -> Tensor:
        """Return dL/d(error) of errors M(k) - v [B, T, H, V]; `inputs` of those tokens."""

    def weights(self, a: Tensor) -> list[Tensor]:
        """Return the matrices [.., rows, columns] of W = w(A) from A [.., weights of M]."""
        return [self.retained(matrix) for matrix in self.matrices(a)]

    def matrices(self, a: Tensor) -> list[Tensor]:
        """Return A [.., weights of M] as matrices [.., rows, columns]."""
        parts = a.split([rows * columns for rows, columns in self.shapes], -1)
        return [part.unflatten(-1, list(shape)) for part, shape in zip(parts, self.shapes, strict=True)]

    def read_weights(self, a: Tensor, anchor: Tensor, inputs: Inputs) -> list[Tensor]:
        """Return the matrices that tokens read, from A [.., weights of M] behind each and A before their span."""
        return self.weights(a)

    def retained(self, a: Tensor) -> Tensor:
        """Return one matrix of w(A)."""
        return a

    def recall(self, weights: list[Tensor], x: Tensor) -> Tensor:
        """Return M(x) [.., V] for x [.., K]."""
        y = x[..., None, :]
        for i, matrix in enumerate(weights):
            # gelu between layers; the last output is a correction of x, normalised, and x itself.
            y = (F.gelu(y) if i else y) @ matrix
        y = y[..., 0, :]
        if len(weights) == 1:
            return y
        return x + F.layer_norm(y, y.shape[-1:])

    def gradient(self, anchor: Tensor, inputs: Inputs) -> Tensor:
        """Return dL/dW [B, T, H, weights of M] of each token at w(anchor [B, H, weights of M])."""
        trained = torch.is_grad_enabled()
        # Every token gets its own copy of the weights, so that one backward pass gives the gradient of each.
        weights = [w[:, None].expand(-1, inputs["k"].shape[1], -1, -1, -1) for w in self.weights(anchor)]
        with torch.enable_grad():  # where nothing else is trained, too
            weights = [w if w.requires_grad else w.detach().requires_grad_() for w in weights]
            out = self.recall(weights, inputs["k"])
            pull = self.pull(out - inputs["v"], inputs)
            # In training the gradient is part of the graph: the projections learn through it.
            gradients = torch.autograd.grad(out, weights, pull, create_graph=trained)
        return torch.cat([g.flatten(-2) for g in gradients], -1)

    def _gates(self, x: Tensor) -> Tensor:
        """Return outputs of a gate's layers as [B, T, H], or [B, T, H, V] of channels."""
        return x if self.gates == "head" else split_heads(x, self.v_size)

    def on_weights(self, gate: Tensor) -> Tensor:
        """Return a gate [.., H], or [.., H, V] of channels, for each weight of M: [.., H, 1 or weights]."""
        if self.gates == "head":
            return gate[..., None]
        rows, columns = self.shapes[-1]
        others = self.first.shape[-1] - rows * columns
        mean = gate.mean(-1, keepdim=True).expand(*gate.shape[:-1], others)
        last = gate[..., None, :].expand(*gate.shape[:-1], rows, columns)
        return torch.cat([mean, last.flatten(-2)], -1)

    def decayed_sums(self, x: Tensor, log_gate: Tensor, first: Tensor) -> Tensor:
        """Return y_t = gate_t y_{t-1} + x_t [B, T, H, weights], y before the first token `first` [B, H, weights]."""
        if self.gates == "head":
            return _decayed_sums(x, log_gate, first)
        rows, columns = self.shapes[-1]
        sizes = [x.shape[-1] - rows * columns, rows * columns]
        x, last = x.split(sizes, -1)
        first, last_first = first.split(sizes, -1)
        # Each column of the last matrix has a decay of its own, as each head has: [.., H V, rows].
        x_columns = last.unflatten(-1, (rows, columns)).mT.flatten(2, 3)
        first_columns = last_first.unflatten(-1, (rows, columns)).mT.flatten(1, 2)
        last = _decayed_sums(x_columns, log_gate.flatten(2), first_columns)
        last = last.unflatten(2, (-1, columns)).mT.flatten(-2)
        mean = log_gate.logsumexp(-1) - math.log(columns)
        return torch.cat([_decayed_sums(x, mean, first), last], -1)

    def initial(self, x: Tensor) -> State:
        # Anchor and A begin at the trained weights, momentum at 0.
        first = self.first.to(x.dtype).expand(len(x), -1, -1)
        memory = torch.stack([first, first, torch.zeros_like(first)], 2)
        return super().initial(x) | {"memory": memory, "position": torch.zeros((), dtype=torch.int64, device=x.device)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        values, tails = self.convolved(x, state, "silu")
        q, k, v = (split_heads(value, self.k_size) for value in values)
        position = state["position"] + torch.arange(x.shape[1], device=x.device)
        inputs = {
            "q": l2_normalise(q),
            "k": l2_normalise(k),
            "v": v,
            "log_keep": F.logsigmoid(-self._gates(self.alpha_proj(x))),
            "theta": self._gates(self.theta_proj(x)).sigmoid() * self.max_step,
            "starts": (position % self.span == 0).expand(len(x), -1),
        }
        if self.has_momentum:
            inputs["log_momentum"] = F.logsigmoid(self._gates(self.momentum_proj(x)))
        return inputs, tails | {"position": state["position"] + x.shape[1]}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        anchor, a, step = memory.unbind(2)
        # At the first token of a span its gradients are anchored at the present weights.
        anchor = torch.where(inputs["starts"][:, None, None], a, anchor)
        if self.read == "linear":
            a, step, out = self._descended(anchor, a, step, {name: value[:, None] for name, value in inputs.items()})
            return torch.stack([anchor, a, step], 2), out[:, 0]
        gradient = self.gradient(anchor, {name: value[:, None] for name, value in inputs.items()})[:, 0]
        # A = (1 - alpha) A - theta dL/dW, or with momentum S = eta S - theta dL/dW, A = (1 - alpha) A + S
        change = -self.on_weights(inputs["theta"]) * gradient
        if self.has_momentum:
            step = change = self.on_weights(inputs["log_momentum"].exp()) * step + change
        a = self.on_weights(inputs["log_keep"].exp()) * a + change
        return torch.stack([anchor, a, step], 2), self.recall(self.read_weights(a, anchor, inputs), inputs["q"])

    @property
    def reads_near(self) -> bool:
        """Tell whether tokens read weights of first order in the change since their span began."""
        # One matrix is linear itself.
        return self.read == "linear" and self.memory_depth > 1

    def append_training(
        self,
        step: Step,
        memory: Tensor,
        inputs: Inputs,
        *,
        loss: int = networks.SQUARED,
        retention: int = networks.PLAIN,
        exponents: tuple[float, float] = (2.0, 2.0),
        delta: Tensor | None = None,
    ) -> Tensor:
        """Append `recur` with a loss and a retention of `kernels.decode.networks`; return the outputs [B, H, K].

        Args:
            memory: [B, H, 3, weights of M].
            exponents: of loss and retention, where they have one.
            delta: [B, H, K], the edges of Huber's loss.
        """
        rows = {name: inputs[name] for name in ("q", "k", "v", "theta")}
        rows["keep"] = inputs["log_keep"].exp()
        if self.has_momentum:
            rows["momentum"] = inputs["log_momentum"].exp()
        if delta is not None:
            rows["delta"] = delta
        out = step.value(self.heads, self.k_size)
        step.append(
            networks.train,
            Heads(self.heads),
            rows,
            {"memory": memory, "out": out},
            **self._network(step),
            loss=loss,
            retention=retention,
            loss_exponent=exponents[0],
            retention_exponent=exponents[1],
            near=self.reads_near,
            gates=1 if self.gates == "head" else self.v_size,
        )
        return out

    def append_recall(self, step: Step, memory: Tensor, x: Tensor) -> Tensor:
        """Append the reading of x [B, H, K] from the memories as they were before the span; return [B, H, K]."""
        out = step.value(self.heads, self.k_size)
        written = {"memory": memory, "out": out}
        step.append(networks.recall, Heads(self.heads), {"x": x}, written, **self._network(step))
        return out

    def _network(self, step: Step) -> dict[str, Any]:
        """Return the operands of `kernels.decode.networks.cpu.NETWORK`, with scratch for each thread."""
        hidden = self.expansion * self.k_size
        weights = self.first.shape[-1]
        spare = step.scratch(networks.spare_size(self.k_size, hidden, self.memory_depth, weights))
        sizes = {"heads": self.heads, "keys": self.k_size, "layers": self.memory_depth, "hidden": hidden}
        return {**sizes, "weights": weights, "span": self.span, "spare": spare}

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        anchor, a, step = memory.unbind(2)
        length = inputs["q"].shape[1]
        outputs = []
        # Pieces between the starts of spans; the first may continue a span of the tokens before.
        starts = inputs["starts"][0].nonzero()[:, 0].tolist()
        begins = sorted({0, *starts})
        sizes = [end - begin for begin, end in zip(begins, [*begins[1:], length], strict=True)]
        for begin, part in zip(begins, pieces(inputs, sizes), strict=True):
            anchor = a if begin in starts else anchor
            if self.by_products:
                a, step, out = self._descended(anchor, a, step, part)
                outputs.append(out)
                continue
            changes = -self.on_weights(part["theta"]) * self.gradient(anchor, part)
            if self.has_momentum:
                # Within a span gradients are known, so that momentum and weights are decayed sums.
                changes = self.decayed_sums(changes, part["log_momentum"], step)
                step = changes[:, -1]
            after = self.decayed_sums(changes, part["log_keep"], a)
            a = after[:, -1]
            outputs.append(self.recall(self.read_weights(after, anchor[:, None], part), part["q"]))
        return torch.stack([anchor, a, step], 2), torch.cat(outputs, 1)

    def _descended(self, anchor: Tensor, a: Tensor, step: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
        """Return A, momentum and outputs after the tokens of a span; outputs are linear in the changes of A."""
        weights, now, moved = (self.matrices(value) for value in (anchor, a, step))
        entered, signals = self._signals(weights, inputs)
        momentum = inputs["log_momentum"] if self.has_momentum else None
        y = inputs["q"]
        change = torch.zeros_like(y)
        for i, matrix in enumerate(weights):
            if i:
                # gelu'(y) = Phi(y) + y phi(y)
                density = torch.exp(-y.square() / 2) / math.sqrt(2 * math.pi)
                change = change * ((1 + torch.erf(y / math.sqrt(2))) / 2 + y * density)
                y = F.gelu(y)
            # dL/dW_i of a token is the outer product of what entered the layer and of its signal.
            descents = -inputs["theta"][..., None] * signals[i]
            memories = (now[i], moved[i], matrix, inputs["log_keep"], momentum)
            now[i], moved[i], read = chunks.descent(y, entered[i], descents, *memories)
            change = _through(change, matrix) + read
            y = _through(y, matrix)
        after, step = (torch.cat([matrix.flatten(-2) for matrix in each], -1) for each in (now, moved))
        if len(weights) == 1:
            return after, step, y + change
        # The derivative of the norm: n = (y - mean) / s, dn = (dy - mean dy - n mean(n dy)) / s
        s = (y.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        n = F.layer_norm(y, y.shape[-1:])
        change = (change - change.mean(-1, keepdim=True) - n * (n * change).mean(-1, keepdim=True)) / s
        return after, step, inputs["q"] + n + change

    def _signals(self, weights: list[Tensor], inputs: Inputs) -> tuple[list[Tensor], list[Tensor]]:
        """Return what enters every layer of M for keys [B, T, H, rows], and dL/d of what leaves it."""
        trained = torch.is_grad_enabled()
        with torch.enable_grad():  # where nothing else is trained, too
            y = inputs["k"]
            entered = []
            products = []
            for i, matrix in enumerate(weights):
                y = F.gelu(y) if i else y
                entered.append(y)
                y = _through(y, matrix)
                if not y.requires_grad:
                    y.requires_grad_()
                products.append(y)
            if len(weights) == 1:
                return entered, [self.pull(y - inputs["v"], inputs)]
            out = inputs["k"] + F.layer_norm(y, y.shape[-1:])
            pull = self.pull(out - inputs["v"], inputs)
            return entered, list(torch.autograd.grad(out, products, pull, create_graph=trained))


def _through(y: Tensor, matrix: Tensor) -> Tensor:
    """Return y [B, T, H, rows] times one matrix a head [B, H, rows, columns]."""
    return torch.einsum("bthr,bhrc->bthc", y, matrix)


def _decayed_sums(x: Tensor, g: Tensor, first: Tensor) -> Tensor:
    """Return y_t = e^{g_t} y_{t-1} + x_t [B, T, H, P], y before the first token `first` [B, H, P], g [B, T, H]."""
    # y_t = sum_{j <= t} e^{G_t - G_j} x_j + e^{G_t} first, G the sums of g
    since = g.movedim(1, 2).cumsum(-1).exp()[..., None]
    return (chunks.decays_between(g) @ x.movedim(1, 2) + since * first[:, :, None]).movedim(2, 1)


@dataclass(eq=False, repr=False, kw_only=True)
class Titans(NeuralMemory):
    """A memory by squared error with momentum: S = eta S - theta dL/dW, W = (1 - alpha) W + S (arXiv 2501.00663).

    L = |M(k) - v|^2 / 2; eta is a sigmoid of W x, as alpha and theta. With depth 1, no momentum, alpha = 0 and a span
    of 1 it is `DeltaNet`.
    """

    has_momentum = True

    def first_weights(self) -> Tensor:
        first = super().first_weights()
        if self.memory_depth == 1:
            return torch.zeros_like(first)
        return first

    def pull(self, error: Tensor, inputs: Inputs) -> Tensor:
        return error

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return self.append_training(step, memory, inputs)
