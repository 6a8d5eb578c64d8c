"""A net that writes the weights of another net for each task, chunk by chunk, and grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ....base.measure.work import LayerCounts
from ...layers.counts import count_linear

# Factor of the usual first weights of the last layer: the net begins near its own first weights.
SMALL = 0.1


class WeightWriter(nn.Module):
    """A net that writes the weights of another net for task k, chunk by chunk: theta_k = theta_0 + f(e_k, c_1 .. c_J).

    theta_0 are the weights drawn from a seed. f is a layer of relu units and a linear layer for each chunk by itself,
    or an LSTM over the chunks and a linear layer. By layer, the LSTM takes a step for each layer of the other net, with
    an embedding of its own, and relu units of its state and c_j stand between it and the linear layer. A chunk has
    weights of one layer then.

    Args:
        layers: theta_0 of each layer.
        tasks: number of tasks.
        seed: key of the first weights.
        embedding, width, chunk, dependency: settings of `HypernetworkSettings`.
        by_layer: the LSTM takes a step for each layer, and not for each chunk.

    Attributes:
        tasks: e [tasks, embedding].
        chunks: c [J, embedding].
        layers: embeddings [layers, embedding], by layer alone.
        counts: number of chunks of each layer; of all weights if not by layer.
        first: theta_0, [weights].
    """

    first: Tensor

    def __init__(
        self,
        layers: Sequence[Tensor],
        tasks: int,
        seed: int,
        *,
        embedding: int,
        width: int,
        chunk: int,
        dependency: bool,
        by_layer: bool,
    ) -> None:
        super().__init__()
        first = torch.cat(list(layers))
        self.register_buffer("first", first, persistent=False)
        self.sizes = [len(layer) for layer in layers] if by_layer else [len(first)]
        self.counts = [math.ceil(weights / chunk) for weights in self.sizes]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.tasks = nn.Parameter(torch.randn(tasks, embedding))
            self.chunks = nn.Parameter(torch.randn(sum(self.counts), embedding))
            self.layers = nn.Parameter(torch.randn(len(self.counts), embedding)) if by_layer else None
            self.hidden = None
            self.lstm = None
            if dependency:
                self.lstm = nn.LSTM(2 * embedding, width, batch_first=True)
            if by_layer:
                self.hidden = nn.Linear(width + embedding, width)
            elif not dependency:
                self.hidden = nn.Linear(2 * embedding, width)
            self.output = nn.Linear(width, chunk)
            # Little is added to theta_0 at the start: the net begins nearly as one that is trained directly.
            with torch.no_grad():
                self.output.weight.mul_(SMALL)
                self.output.bias.zero_()

    def forward(self, tasks: Tensor) -> Tensor:
        """Return [n, weights] from embeddings [n, embedding]."""
        written = self.output(self._states(tasks)[-1])
        # The last chunk of a layer may reach beyond its last weight.
        parts = written.split(self.counts, 1)
        layers = [part.flatten(1)[:, :size] for part, size in zip(parts, self.sizes, strict=True)]
        return self.first + torch.cat(layers, 1)

    @property
    def width(self) -> int:
        """Number of units of the hidden layer or of the LSTM."""
        return self.output.in_features

    @property
    def recurrent(self) -> Tensor:
        """Weights of the LSTM from state to state, [4 width, width]."""
        return cast(Tensor, cast(nn.LSTM, self.lstm).weight_hh_l0)

    @staticmethod
    def padded(recurrent: Tensor, units: int) -> Tensor:
        """Return an array of the shape of `recurrent` with zeros for more units."""
        gates = recurrent.detach().unflatten(0, (4, -1))
        return nn.functional.pad(gates, (0, units, 0, units)).flatten(0, 1)

    @torch.no_grad()
    def grow(self, units: int, seed: int) -> None:
        """Add units whose own weights are drawn and which nothing reads yet: what is written does not change."""
        old = self.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            output = nn.Linear(old + units, self.output.out_features)
            if self.lstm is not None:
                self.lstm = self._grown_lstm(nn.LSTM(self.lstm.input_size, old + units, batch_first=True), old)
            if self.hidden is not None:
                self.hidden = self._grown_hidden(self.hidden, old, units)
        output.weight[:, :old] = self.output.weight
        output.weight[:, old:] = 0.0
        output.bias.copy_(self.output.bias)
        self.output = output

    def _grown_hidden(self, hidden: nn.Linear, old: int, units: int) -> nn.Linear:
        """Return a wider hidden layer: its first `old` units are the present ones, and read no new unit of the LSTM."""
        # By layer its inputs are the states of the LSTM, which has grown as well, and an embedding.
        more = 0 if self.layers is None else units
        wider = nn.Linear(hidden.in_features + more, old + units)
        if more:
            states, embedding = hidden.weight.split([old, hidden.in_features - old], 1)
            wider.weight[:old] = torch.cat([states, states.new_zeros(old, more), embedding], 1)
        else:
            wider.weight[:old] = hidden.weight
        wider.bias[:old] = hidden.bias
        return wider

    def _grown_lstm(self, lstm: nn.LSTM, old: int) -> nn.LSTM:
        """Return a wider LSTM whose first `old` units are those of the present one, and read no other."""
        for name, value in cast(nn.LSTM, self.lstm).named_parameters():
            # The rows of each of four gates lie together.
            wider = lstm.get_parameter(name).unflatten(0, (4, -1))
            known = value.unflatten(0, (4, -1))
            if name.startswith("weight_hh"):
                wider[:, :old, :old] = known
                wider[:, :old, old:] = 0.0
            else:
                wider[:, :old] = known
        return lstm

    def _beside(self, tasks: Tensor, others: Tensor) -> Tensor:
        """Return [n, J, 2 embedding], the embedding of each task beside each of J others."""
        task = tasks[:, None].expand(-1, len(others), -1)
        return torch.cat([task, others.expand(len(tasks), -1, -1)], -1)

    def _states(self, tasks: Tensor) -> list[Tensor]:
        """Return the inputs of each layer of the writer, [n, J, channels], down to those of the linear layer."""
        if self.lstm is None:
            assert self.hidden is not None
            embeddings = self._beside(tasks, self.chunks)
            return [embeddings, torch.relu(self.hidden(embeddings))]
        embeddings = self._beside(tasks, self.chunks if self.layers is None else self.layers)
        states: Tensor = self.lstm(embeddings)[0]
        if self.hidden is None:
            return [embeddings, states]
        # The state of a layer beside the embedding of each of its chunks.
        counts = torch.tensor(self.counts, device=states.device)
        chunks = self.chunks.expand(len(tasks), -1, -1)
        joined = torch.cat([states.repeat_interleave(counts, 1), chunks], -1)
        return [embeddings, states, joined, torch.relu(self.hidden(joined))]

    @torch.no_grad()
    def work(self, task: int) -> list[LayerCounts]:
        """Return the work of writing the weights of a task once, by layer."""
        inputs = self._states(self.tasks[task : task + 1])
        layers = []
        if self.lstm is not None:
            states = inputs[1]
            # The LSTM reads its own states, one step later.
            before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)
            for name, x in (("ih", inputs[0]), ("hh", before)):
                weight = getattr(self.lstm, f"weight_{name}_l0")
                bias = getattr(self.lstm, f"bias_{name}_l0")
                layers.append(count_linear(f"writer {name}", weight, x, x @ weight.T, bias=bias.numel()))
        if self.hidden is not None:
            bias = self.hidden.bias.numel()
            layers.append(count_linear("writer hidden", self.hidden.weight, inputs[-2], inputs[-1], bias=bias))
        out = self.output
        return [*layers, count_linear("writer output", out.weight, inputs[-1], out(inputs[-1]), bias=out.bias.numel())]
