"""Comparison of a converted model with the dense one on text: losses, agreement, and the cost of each layer alone."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...base.errors import require
from ...base.heap import trim_heap
from ...kernels.spikes.lazy_state.reference import StateTraffic
from ..attention.kinds.base import Shared
from ..attention.model import LanguageModel
from ..attention.train import stream_windows
from .blockwise import hidden_by_block, pass_block, release
from .linear import SpikedLinear
from .logits import LogitHead, head_of, likelihoods, logit_parts
from .model import Converted
from .records import Comparison, ExecutionCheck
from .spiked_mixer import record_traffic, recorded_traffic

LENGTH = 128  # tokens that a model reads at a time
STREAMS = 32  # parts of the text that are read side by side
VALUES = 2**20  # of the widest layer that exist at a time, 4 MB; a coder makes some copies of them
HIDDEN = 2**23  # values of the residual stream that exist at a time, 32 MB
AT_ONCE = 16  # windows of `compare_windows`, each without context


def compare_models(
    dense: LanguageModel,
    spiking: LanguageModel,
    tokens: Tensor,
    length: int = LENGTH,
    streams: int = STREAMS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare both models on tokens [n].

    Args:
        length: tokens of a window; windows follow each other and carry their states on.
        streams: number of equal parts of the text, each read from its start; of a wide model some at a time.
        on_progress: called with (tokens read, tokens in all).

    Raises:
        NeurosimInputError: fewer than 2 tokens.
    """
    require(len(tokens) > 1, "compare_models.tokens", "must be at least 2", len(tokens))
    windows = list(stream_windows(tokens.to(dense.device), length, streams))
    span = sum(part.shape[1] for part, _ in windows)
    streams = len(windows[0][0])
    together = max(1, VALUES // (length * _widest(dense)))
    # Streams whose hidden states exist at a time, in groups of those that a layer reads together.
    at_once = together * max(1, HIDDEN // (together * span * dense.config.width))
    n = span * streams
    totals = [0.0, 0.0]
    parts: list[Tensor] = []
    sizes: list[Tensor] = []
    same = 0
    for begin in range(0, streams, at_once):
        end = min(begin + at_once, streams)
        groups = [slice(first, min(first + together, end)) for first in range(begin, end, together)]
        read: list[_WindowLosses] = []
        for i, model in enumerate((dense, spiking)):

            def on_block(passed: int, blocks: int, i: int = i, begin: int = begin, end: int = end) -> None:
                if on_progress is not None:
                    models = 2 * begin + (i + passed / blocks) * (end - begin)
                    on_progress(round(span * models / 2), n)

            read.append(_read_windows(model, windows, groups, on_block))
        totals = [total + float(each.sums.sum()) for total, each in zip(totals, read, strict=True)]
        parts.append(read[1].sums - read[0].sums)
        sizes.append(read[0].sizes)
        same += int((read[0].likeliest == read[1].likeliest).sum())
    error = _standard_error(torch.cat(parts).cpu(), torch.cat(sizes))
    return Comparison(tokens=n, dense=totals[0] / n, spiking=totals[1] / n, agreement=same / n, error=error)


class _WindowLosses(NamedTuple):
    """Predictions of a model for windows.

    Attributes:
        sums: [windows] float64 nats of each window.
        sizes: [windows] tokens of each window.
        likeliest: [tokens] next tokens.
    """

    sums: Tensor
    sizes: Tensor
    likeliest: Tensor


@torch.no_grad()
def _read_windows(
    model: LanguageModel,
    windows: Sequence[tuple[Tensor, Tensor]],
    groups: Sequence[slice],
    on_block: Callable[[int, int], None],
) -> _WindowLosses:
    """Read windows, (tokens, following tokens) each, of groups of streams."""
    hidden = hidden_by_block(model, [[part[group] for part, _ in windows] for group in groups], on_block)
    following = [after[group] for group in groups for _, after in windows]
    sums: list[Tensor] = []
    likeliest: list[Tensor] = []
    for x, after in zip(itertools.chain(*hidden), following, strict=True):
        read = likelihoods(head_of(model), x.flatten(0, 1), after.flatten())
        sums.append(read.losses.view(after.shape).double().sum(1))
        likeliest.append(read.likeliest)
    model.files.release()
    trim_heap()
    sizes = torch.cat([torch.full((len(after),), after.shape[1]) for after in following])
    return _WindowLosses(torch.cat(sums), sizes, torch.cat(likeliest))


def _standard_error(sums: Tensor, sizes: Tensor) -> float | None:
    """Return the standard error of the mean of all values, from sums [n] of windows of `sizes`; None for one window.

    Windows are taken as independent (the ratio estimator of a cluster sample).
    """
    if len(sums) < 2:
        return None
    mean = sums.sum() / sizes.sum()
    squares = (sums - mean * sizes).square().sum() * len(sums) / (len(sums) - 1)
    return float(squares.sqrt() / sizes.sum())


class WindowComparison:
    """A dense model on windows of tokens [B, T + 1], each read without context, for comparison with several models.

    Attributes:
        losses: [B] mean loss of the dense model in each window, nats a token.
    """

    @torch.no_grad()
    def __init__(
        self, dense: LanguageModel, windows: Tensor, on_progress: Callable[[int, int], None] | None = None
    ) -> None:
        self.windows = windows.to(dense.device)
        self._head = head_of(dense)
        self._width = _widest(dense)
        # Logits are computed again for each model: those of a large vocabulary would not fit into memory.
        self._hidden = self._read(dense, on_progress)
        self._likelihoods = [
            likelihoods(self._head, hidden, part[:, 1:].flatten())
            for hidden, part in zip(self._hidden, self._parts(), strict=True)
        ]
        self.losses = (
            torch.cat([read.losses for read in self._likelihoods]).view(len(windows), -1).double().mean(1).cpu()
        )

    @torch.no_grad()
    def read(
        self, model: LanguageModel, on_progress: Callable[[int, int], None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return [B] by how much the loss of a model is larger, and [B] its divergence, both nats a token.

        The divergence of the predictions q from those of the dense model p is the mean of sum p log(p / q).

        Args:
            on_progress: called with (windows read, windows in all).
        """
        head = head_of(model)
        rises = []
        divergences = []
        read = zip(self._read(model, on_progress), self._hidden, self._likelihoods, self._parts(), strict=True)
        for hidden, before, dense, part in read:
            own = likelihoods(head, hidden, part[:, 1:].flatten())
            # Sum p log(p / q) = sum p (a - b) - log sum e^a + log sum e^b, with the logits a and b of p and q.
            divergence = (own.log_sums - dense.log_sums).double()
            for rows, _, (ours, theirs) in logit_parts([head, self._head], [hidden, before]):
                p = (theirs - dense.log_sums[rows, None]).exp_()
                divergence[rows] += p.mul_(theirs.sub_(ours)).sum(1)
            rises.append((own.losses - dense.losses).view(len(part), -1).double().mean(1))
            divergences.append(divergence.view(len(part), -1).mean(1))
        return torch.cat(rises).cpu(), torch.cat(divergences).cpu()

    def _parts(self) -> Sequence[Tensor]:
        """Return the windows that are read together."""
        return self.windows.split(max(1, VALUES // (self.windows.shape[1] * self._width)))

    def _read(self, model: LanguageModel, on_progress: Callable[[int, int], None] | None) -> list[Tensor]:
        """Return the hidden states [n, width] of the windows that are read together."""
        count = len(self.windows)

        def on_block(passed: int, blocks: int) -> None:
            if on_progress is not None:
                on_progress(count * passed // blocks, count)

        hidden = hidden_by_block(model, [[part[:, :-1]] for part in self._parts()], on_block)
        return [x.flatten(0, 1) for (x,) in hidden]


def _widest(model: LanguageModel) -> int:
    """Return the channels of the widest layer, the head apart."""
    layers = ((name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear | SpikedLinear))
    return max(layer.out_features for name, layer in layers if name != "lm_head")


def compare_windows(dense: LanguageModel, spiking: LanguageModel, tokens: Tensor, length: int) -> Comparison:
    """Compare both models on windows of tokens [n] that begin without context.

    Args:
        length: tokens of a window; a shorter rest at the end is not read.

    Raises:
        NeurosimInputError: fewer tokens than a window and the one after it.
    """
    count = (len(tokens) - 1) // length
    require(count > 0, "compare_windows.tokens", f"must be at least {length + 1}", len(tokens))
    sums = [0.0, 0.0]
    agreed = 0.0
    for first in range(0, count, AT_ONCE):
        streams = min(AT_ONCE, count - first)
        # One token more than the windows: the last window, too, is compared with the token that follows.
        part = tokens[first * length : (first + streams) * length + 1]
        comparison = compare_models(dense, spiking, part, length, streams)
        sums = [
            total + mean * comparison.tokens
            for total, mean in zip(sums, (comparison.dense, comparison.spiking), strict=True)
        ]
        agreed += comparison.agreement * comparison.tokens
    read = count * length
    return Comparison(read, sums[0] / read, sums[1] / read, agreed / read)


@torch.no_grad()
def each_layer_alone(
    dense: LanguageModel,
    converted: Converted,
    tokens: Tensor,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Comparison]:
    """Compare the dense model with the model in which one coder alone is in use, for each coder by its name.

    Args:
        on_progress: called with (coders done, coders in all).
    """
    windows = list(stream_windows(tokens.to(dense.device), LENGTH, STREAMS))
    n = sum(part.numel() for part, _ in windows)
    inputs = [part for part, _ in windows]
    following = [after for _, after in windows]
    before = _answers(dense, hidden_by_block(dense, [inputs])[0], following)
    model = converted.model
    coders = converted.coders()
    losses = {}
    report = on_progress or (lambda done, total: None)
    # All coders but one pass floats on: the loss is due to this one coder.
    for coder in coders.values():
        coder.bypassed = True
    try:
        hidden = [model.embed(part) for part in inputs]
        shared: list[Shared] = [{} for _ in inputs]
        for i in range(len(model.layers) + 1):
            # The blocks below pass floats on for all of these coders: they are read once.
            for name in (name for name in coders if _first_block(model, name) == i):
                coders[name].bypassed = False
                # A coder before the blocks, as of an embedding of events, is part of block 0.
                alone = list(hidden) if i else [model.embed(part) for part in inputs]
                answers = _from_block(
                    model, i, hidden=alone, shared=[dict(values) for values in shared], following=following
                )
                coders[name].bypassed = True
                same = sum(int((a == b).sum()) for a, b in zip(before.likeliest, answers.likeliest, strict=True))
                losses[name] = Comparison(n, before.loss / n, answers.loss / n, same / n)
                report(len(losses), len(coders))
            if i < len(model.layers):
                pass_block(model, i, hidden, shared)
                release(model, i)
    finally:
        for coder in coders.values():
            coder.bypassed = False
    return {name: losses[name] for name in coders}


class _Answers(NamedTuple):
    """Predictions of a model for windows.

    Attributes:
        loss: nats of all tokens.
        likeliest: [tokens] next tokens, for each window.
    """

    loss: float
    likeliest: list[Tensor]


def _answers(model: LanguageModel, hidden: Sequence[Tensor], following: Sequence[Tensor]) -> _Answers:
    """Return the predictions of the head from its inputs, [B, T, D] for each window."""
    loss = 0.0
    likeliest = []
    for x, after in zip(hidden, following, strict=True):
        read = likelihoods(head_of(model), x.flatten(0, 1), after.flatten())
        loss += float(read.losses.double().sum())
        likeliest.append(read.likeliest)
    return _Answers(loss, likeliest)


def _from_block(
    model: LanguageModel, first: int, hidden: list[Tensor], shared: list[Shared], following: Sequence[Tensor]
) -> _Answers:
    """Return the predictions from the inputs of block `first`, which change on the way."""
    for k in range(first, len(model.layers)):
        pass_block(model, k, hidden, shared)
    return _answers(model, [model.norm(x) for x in hidden], following)


def _first_block(model: LanguageModel, name: str) -> int:
    """Return the number of the residual block that the coder is in, that of all of them for the head, else 0."""
    if name.startswith("layers."):
        return int(name.split(".")[1])
    return len(model.layers) if name == "lm_head" else 0


@torch.no_grad()
def check_execution(
    converted: Converted,
    tokens: Tensor,
    threads: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> ExecutionCheck:
    """Run tokens [B, T] in both forms. The model is left simulated.

    Args:
        on_progress: called with (forms run, 2).
    """
    tokens = tokens.to(converted.model.device)
    forms = []
    for executed in (False, True):
        forms.append(_run_form(converted, tokens, threads, executed=executed))
        if on_progress is not None:
            on_progress(len(forms), 2)
    heads = [form.head for form in forms]
    hidden = [form.hidden for form in forms]
    following = torch.zeros(tokens.numel(), dtype=torch.int64, device=tokens.device)
    likeliest = [likelihoods(*each, following).likeliest for each in zip(heads, hidden, strict=True)]
    largest = torch.zeros((), device=tokens.device)
    difference = torch.zeros((), device=tokens.device)
    for _, _, (simulated, executed_logits) in logit_parts(heads, hidden):
        # Unlike `max`, `maximum` passes NaN on.
        largest = torch.maximum(largest, simulated.abs().max())
        difference = torch.maximum(difference, executed_logits.sub_(simulated).abs_().max())
    converted.model.files.release()
    trim_heap()
    return ExecutionCheck(
        tokens=tokens.numel(),
        largest=float(difference / largest),
        agreement=float((likeliest[0] == likeliest[1]).double().mean()),
        executed_seconds=forms[1].seconds,
        simulated_seconds=forms[0].seconds,
        state={
            name: {k: v / tokens.numel() for k, v in each._asdict().items()} for name, each in forms[1].traffic.items()
        },
    )


class _Form(NamedTuple):
    """A converted model, simulated or executed, on tokens.

    Attributes:
        hidden: [tokens, D] inputs of the head.
        head: the head in this form.
        seconds: time of the blocks.
        traffic: bytes of states by mixer, where they are updated lazily.
    """

    hidden: Tensor
    head: LogitHead
    seconds: float
    traffic: Mapping[str, StateTraffic]


def _run_form(converted: Converted, tokens: Tensor, threads: int, *, executed: bool) -> _Form:
    """Run tokens [B, T] through the blocks in one form."""
    model = converted.model
    traffic: Mapping[str, StateTraffic] = {}
    # Rounded weights of a whole model take half of its memory: those of one block exist at a time.
    with converted.in_turn(executed, threads) as rounded:
        model.hidden(model.embed(tokens[:1, :8]))  # compiles
        rounded.clear()
        start = time.perf_counter()
        hidden = model.hidden(model.embed(tokens), None)[0].flatten(0, 1)
        seconds = time.perf_counter() - start - sum(rounded)
        # A copy of a head in spikes stays as it is when the model changes its form.
        head = head_of(model)
        head = head._replace(layer=copy.copy(head.layer))
        if executed and converted.coding.qk:
            # A third pass, not timed: to count the traffic takes time itself.
            record_traffic(model)
            model.hidden(model.embed(tokens))
            traffic = recorded_traffic(model)
    model.files.release()
    trim_heap()
    return _Form(hidden, head, seconds, traffic)
