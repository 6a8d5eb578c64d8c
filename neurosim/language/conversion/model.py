"""Language models whose linear layers are fed in spikes: made from dense ones, simulated or executed."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, cast, final

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ...base.errors import NeurosimInputError, lookup, require
from ...base.heap import trim_heap
from ...base.rules import Rule, check_rules
from ...base.shown import Shown
from ...kernels.spikes.planes.reference import MAX_PLANES
from ..attention.kinds.base import Codes, Mixer
from ..attention.model import LanguageModel
from ..attention.tensors import MappedFiles
from ..attention.train import draw_windows
from . import balance, int4, spiked_mixer
from .calibrate import Survey, layer_thresholds, survey_channels
from .coding import CANONICAL, INT8, SCHEMES, Coder
from .coding import ternary as ternary_coder
from .expansions import EXPANSIONS, usual_planes
from .histogram import CountHistogram
from .linear import AT_ONCE, WEIGHTS, SpikedLinear
from .rotation import rotate_to_principal_axes
from .tuning import Tuning, tune

MAX_SUM = 2.0**31
LEARNED_STEPS = 60  # updates that train thresholds


@dataclass(frozen=True)
class Coding:
    """Settings of the spike coding of a model.

    Attributes:
        scheme: a name of `SCHEMES`.
        k: counts that a token's mean |x| is worth, for 'ternary' and for q, k and the state.
        spikes: mean spikes a channel, for the schemes that calibrate each channel.
        levels: L, the largest count of 'qcfs' and 'stbif'.
        expansion: a name of `EXPANSIONS`; None for the scheme's own.
        planes: T, planes of a count, larger counts escaping exactly; None for those that counts of +-15 need.
        weights: 'int8', with one step for each output channel; 'int4', with one for 32 weights of an output, kept from
            a GGUF file (Q4_0, Q4_1) where thresholds are not of channels, else rounded so that errors cancel on the
            text, or to the nearest without text, with int8 in the head and in layers whose inputs are not a multiple
            of 32 channels; or 'float32'.
        shrink: soft threshold before rounding, in thresholds.
        price: price of a spike in squared thresholds, for 'ternary' in canonical digits: a value is rounded to a count
            of fewer digits where the error that it adds costs less; 0 rounds to the nearest.
        balance: for 'ternary': a k for each group of layers that read the same values, from text, with one price of a
            spike over all of them (`balance_counts`); k is then their geometric mean over channels.
        rotate: rotate the residual stream to its principal axes first, where possible (schemes with thresholds of
            channels).
        qk: code q and k where they enter the state; the state is then updated lazily. Executed, its sums are taken in
            another order than simulated: most kinds agree to about 1e-6, not bit for bit.
        state: code the state itself, after every token.
        head: code the input of the output layer too.

    Raises:
        NeurosimInputError: naming what breaks its rule.
    """

    scheme: str = "ternary"
    k: Annotated[float, Rule("> 0 and < 1e6")] = 3.0
    spikes: Annotated[float, Rule("> 0 and < 8 a channel")] = 0.9
    levels: Annotated[int, Rule(">= 1 and <= 127")] = 15
    expansion: str | None = None
    planes: int | None = None
    weights: str = "int8"
    shrink: Annotated[float, Rule(">= 0 and < 100 thresholds")] = 0.0
    price: Annotated[float, Rule(">= 0 and <= 1 squared threshold")] = 0.0
    balance: bool = False
    rotate: bool = True
    qk: bool = False
    state: bool = False
    head: bool = False

    def __post_init__(self) -> None:
        lookup(SCHEMES, self.scheme, "Coding.scheme")
        lookup(WEIGHTS, self.weights, "Coding.weights")
        check_rules(self)
        # The price of a spike silences small values of channels already.
        twice = SCHEMES[self.scheme].channel and self.shrink > 0
        require(not twice, "Coding.shrink", f"must be 0: scheme '{self.scheme}' finds its own", self.shrink)
        code = lookup(EXPANSIONS, self.sent_as, "Coding.expansion")
        follows_tokens = SCHEMES[self.scheme].token
        has_price = follows_tokens and self.sent_as == CANONICAL
        rule = "must be 0 but for scheme 'ternary' in canonical digits (expansion 'canonical')"
        require(has_price or not self.price, "Coding.price", rule, self.price)
        rule = "must be false but for scheme 'ternary'"
        require(follows_tokens or not self.balance, "Coding.balance", rule, self.balance)
        require(code.signed, "Coding.expansion", "must have a sign, because activations have one", self.expansion)
        require(1 <= self.sent_planes <= 62, "Coding.planes", "must be 1 to 62", self.planes)

    @property
    def sent_as(self) -> str:
        """The expansion in use, a name of `EXPANSIONS`."""
        return self.expansion or SCHEMES[self.scheme].expansion

    @property
    def sent_planes(self) -> int:
        """T, the planes in use."""
        if self.planes is None:
            return usual_planes(EXPANSIONS[self.sent_as])
        return self.planes


@final
class Converted:
    """A language model in spikes.

    Attributes:
        model: the model with its linear layers replaced by `SpikedLinear`; called and stepped like any other.
        coding: its spike coding.
        layers: the spiked layers by name.
        dense: (name, description) of every operator that still works on floats.
        remarks: messages for the user.
        price: nats a token that one more spike a token had to save, where thresholds were calibrated; else 0.
    """

    def __init__(
        self, model: LanguageModel, coding: Coding, coders: Mapping[str, Coder], remarks: tuple[str, ...] = ()
    ) -> None:
        self.model = model
        self.coding = coding
        self.remarks = remarks
        self.price = 0.0
        self.layers: dict[str, SpikedLinear] = {}
        # Kernels pack the planes of binary digits into words; other expansions are counted only.
        packed = coding.sent_as == "bitwise" and coding.sent_planes <= MAX_PLANES
        planes = coding.sent_planes if packed else None
        for name, coder in coders.items():
            layer = cast(nn.Linear, model.get_submodule(name))
            spiked = SpikedLinear(layer, coder, int4.type_of(coding.weights, name, layer.in_features), planes)
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, spiked)
            self.layers[name] = spiked
        spiked_mixer.add_coders(model, qk=coding.qk, state=coding.state, k=coding.k)
        self.dense = operators(model)
        self.executed = False

    def __repr__(self) -> str:
        form = "executed" if self.executed else "simulated"
        return f"Converted({len(self.layers)} layers in spikes, {self.coding.scheme}, {form})"

    def to(self, device: str | torch.device) -> Converted:
        """Move the model to a device, simulated; return self."""
        self.execute(False)
        self.model.to(device)
        return self

    def set_k(self, k: float) -> None:
        """Give the coders of a scheme whose thresholds follow tokens another k: as if it had been converted with it."""
        for coder in self.coders().values():
            coder.k = coder.k / self.coding.k * k
        self.coding = replace(self.coding, k=k)

    def execute(self, on: bool = True, *, threads: int = 1) -> Converted:
        """Add rows of weights for spikes and update the state lazily (`on`), or simulate; return self.

        Runs on the device of the model: numba on a CPU, Triton on a CUDA device.
        """
        for layer in self.layers.values():
            layer.execute(on, threads=threads)
        self._update_lazily(on, threads)
        return self

    def _update_lazily(self, on: bool, threads: int) -> None:
        """Update the states lazily (`on`), or as the dense model does."""
        if on and not self.executed:
            spiked_mixer.wrap(self.model, threads)
        elif self.executed and not on:
            spiked_mixer.unwrap(self.model)
        self.executed = on

    @contextmanager
    def in_turn(self, on: bool, threads: int = 1) -> Iterator[list[float]]:
        """Execute (`on`) or simulate one residual block at a time while the block of code runs; simulate after it.

        The weights of one residual block are rounded at a time, so that a large model needs little memory beside what
        it was read from.

        Yields:
            the seconds that rounding each residual block's weights took, and giving them back, filled while the model
            runs.
        """
        self.execute(False)
        self._update_lazily(on, threads)
        rounded: list[float] = []
        outside = set(self.layers.values())
        handles: list[RemovableHandle] = []
        for block in self.model.layers:
            inner = [module for module in block.modules() if isinstance(module, SpikedLinear)]
            outside.difference_update(inner)
            handles += _round_while_called(block, inner, on, threads, self.model.files, rounded)
        for layer in outside:
            layer.execute(on, threads=threads)
        try:
            yield rounded
        finally:
            for handle in handles:
                handle.remove()
            self.execute(False)

    @contextmanager
    def counting(self) -> Iterator[dict[str, CountHistogram]]:
        """Yield histograms of the counts of all coders by name, filled while the block runs."""
        coders = self.coders()
        histograms = {}
        for name, coder in coders.items():
            coder.histogram = CountHistogram(name, self.coding.sent_as, self.coding.sent_planes)
            histograms[name] = coder.histogram
        try:
            yield histograms
        finally:
            for coder in coders.values():
                coder.histogram = None

    @contextmanager
    def bypassed(self) -> Iterator[LanguageModel]:
        """Yield the model as the dense one, working on floats while the block runs."""
        coders = self.coders().values()
        before = [coder.bypassed for coder in coders]
        for coder in coders:
            coder.bypassed = True
        try:
            yield self.model
        finally:
            for coder, was_bypassed in zip(coders, before, strict=True):
                coder.bypassed = was_bypassed

    def coders(self) -> dict[str, Coder]:
        """Return the coders by name: of the linear layers, and of q, k and the state where they are coded."""
        coders = {name: layer.coder for name, layer in self.layers.items()}
        return coders | spiked_mixer.coders(self.model)


def _copy(dense: LanguageModel) -> LanguageModel:
    """Return a copy of a model; matrices in 16 bits are shared, for `tune` widens them before it changes any."""
    # What `deepcopy` takes as copied already, it does not copy.
    shared = (p for p in dense.parameters() if p.dim() > 1 and p.element_size() == 2)
    return copy.deepcopy(dense, {id(p): nn.Parameter(p.detach(), requires_grad=p.requires_grad) for p in shared})


def linear_names(model: LanguageModel, head: bool) -> list[str]:
    """Return the names of the linear layers to code, in the order of the model.

    Raises:
        NeurosimInputError: a mixer without linear layers.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for i, mixer in enumerate(model.mixers()):
        if not any(name.startswith(f"layers.{i}.mixer.") for name in names):
            raise NeurosimInputError(
                f"layers.{i}.mixer: a {type(mixer).__name__} holds no linear layer to code; it cannot be converted"
            )
    # The first layer of an embedding of events takes events, which are spikes already.
    return [name for name in names if name != "embeddings.layers.0" and (head or name != "lm_head")]


def operators(model: LanguageModel) -> tuple[tuple[str, str], ...]:
    """Return (name, description) of every operator in the model that works on floats."""
    layers = []
    spiked = "."
    for name, module in model.named_modules():
        if isinstance(module, SpikedLinear):
            spiked = f"{name}."
        elif isinstance(module, Mixer):
            layers.append((name, spiked_mixer.describe(module)))
        elif not isinstance(module, Coder | Codes) and not name.startswith(spiked) and _leaf(module):
            layers.append((name, _DESCRIPTIONS.get(type(module).__name__, type(module).__name__)))
    return tuple(layers)


_DESCRIPTIONS = {
    "Embedding": "table look-up: one row a token, nothing to add",
    "RMSNorm": "root-mean-square norm",
    "LayerNorm": "layer norm",
    "GroupNorm": "group norm",
    "ShortConv": "short convolution over tokens",
    "Linear": "linear layer on floats",
    "GatedMLP": "silu and product of the feed-forward layer",
    "Experts": "choice of experts, and their weighted sum",
    "Router": "scores of experts",
    "GatedChannelMix": "token shift and activations of the feed-forward layer",
    "ChannelMix": "token shift and activation of the feed-forward layer",
}


def _leaf(module: nn.Module) -> bool:
    """Return whether the module computes something itself: it has no parts, or parameters, or a name in the table."""
    has_parameters = any(True for _ in module.parameters(recurse=False)) and not isinstance(module, LanguageModel)
    has_no_parts = next(module.children(), None) is None and not isinstance(module, nn.Sequential | nn.ModuleList)
    return has_parameters or has_no_parts or type(module).__name__ in _DESCRIPTIONS


def convert(
    dense: LanguageModel,
    coding: Coding | None = None,
    tokens: Tensor | None = None,
    seed: int = 0,
    windows: int = 64,
    length: int = 128,
    on_message: Callable[[str], None] = lambda line: None,
    calibration: Calibration | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_rounded: Callable[[int, int], None] | None = None,
) -> Converted:
    """Return a spike-coded copy of a model, on the same device; it shares matrices in 16 bits with the model.

    Args:
        coding: default `Coding()`, which needs no text.
        tokens: [n] text for the schemes that calibrate, for `Coding.balance`, and for weights of 4 bits.
        seed: key of the windows and of the labels of `collect_gradients`.
        windows, length: number of windows for calibration, and tokens of each.
        on_message: called with the name of a long step when it begins.
        calibration: result of `calibrate_channels` or `calibrate_groups` with the same arguments, for several
            conversions of one model.
        on_progress: called with (windows read, windows in all) while thresholds are calibrated.
        on_rounded: called with (layers rounded, layers in all) while weights are rounded to 4 bits.

    Raises:
        NeurosimInputError: a scheme that needs text got none or too little, a layer cannot be converted, or a weight is
            not finite.
    """
    coding = coding or Coding()
    _require_finite(dense)
    check_coding(dense, coding)
    made = _coded(dense, coding, tokens, seed, windows, length, on_message, calibration, on_progress)
    if coding.weights == "int4":
        on_message("rounding weights to 4 bits")
        sample = None if tokens is None else draw_windows(_require_text(coding, tokens, length), windows, length, seed)
        int4.round_layers(made.model, made.layers, sample, on_rounded)
    return made


def _coded(
    dense: LanguageModel,
    coding: Coding,
    tokens: Tensor | None,
    seed: int,
    windows: int,
    length: int,
    on_message: Callable[[str], None],
    calibration: Calibration | None,
    on_progress: Callable[[int, int], None] | None,
) -> Converted:
    """Return a copy of a model with coders of its scheme, and weights that are not rounded yet."""
    scheme = SCHEMES[coding.scheme]
    if not scheme.text:
        factors: Mapping[str, float] = {}
        if coding.balance:
            calibration = calibration or calibrate_groups(dense, coding, tokens, seed, windows, length, on_progress)
            factors = calibration.factors
        coders = {
            name: ternary_coder(factors.get(name, 1.0) * coding.k, coding.shrink, coding.price)
            for name in linear_names(dense, coding.head)
        }
        return Converted(_copy(dense), coding, coders)
    # Thresholds from text: one for each layer, or one for each channel.
    tokens = _require_text(coding, tokens, length)
    if not scheme.channel:
        return _by_layer(dense, coding, draw_windows(tokens, windows, length, seed), seed, on_progress)
    calibration = calibration or calibrate_channels(dense, coding, tokens, seed, windows, length, on_progress)
    survey = calibration.survey
    require(survey is not None, "convert.calibration", "must be of `calibrate_channels` for this scheme", coding.scheme)
    assert survey is not None
    choice = survey.choose(coding.spikes, coding.scheme)
    converted = Converted(_copy(survey.model), coding, choice.coders, calibration.remarks)
    # Later training weighs spikes by the price at which they were calibrated.
    converted.price = choice.price
    if scheme.learned:
        on_message("training thresholds")
        tuning = Tuning(LEARNED_STEPS, batch=8, length=length, weights=False, price=converted.price, seed=seed)
        tune(converted.model, converted.layers, tokens, tuning, spikes=coding.spikes, expansion=coding.sent_as)
    return converted


def check_coding(dense: LanguageModel, coding: Coding) -> None:
    """Check the rules of a conversion that depend on the shapes of a model alone.

    Raises:
        NeurosimInputError: a layer cannot be converted, or sums could pass their type.
    """
    names = linear_names(dense, coding.head)
    if not SCHEMES[coding.scheme].text:
        _require_sums(dense, names, coding)
    if coding.qk:
        spiked_mixer.check_qk(dense)


def _require_sums(dense: LanguageModel, names: Sequence[str], coding: Coding) -> None:
    """Raise where sums of int8 weights times counts, k a channel in the mean, could pass 32 bits."""
    for name in names:
        channels = cast(nn.Linear, dense.get_submodule(name)).in_features
        if int4.type_of(coding.weights, name, channels) == "int8":
            # |count| is at most k in the mean over channels, and |weight| at most 127.
            max_k = MAX_SUM / INT8 / channels - 1
            if coding.balance:
                max_k /= balance.RANGE
            rule = f"must be < {max_k:.0f} for the {channels} channels of {name}, whose sums take 32 bits"
            require(coding.k < max_k, "Coding.k", rule, coding.k)


def _require_finite(dense: LanguageModel) -> None:
    """Raise for NaN or infinity, part by part: a model may be larger than memory."""
    for name, parameter in dense.named_parameters():
        # Rows that are decoded at a time; a scalar has none.
        matrix = parameter.detach().view(1) if parameter.dim() == 0 else parameter.detach()
        rows = max(1, AT_ONCE * len(matrix) // max(matrix.numel(), 1))
        for part in matrix.split(rows):
            if not bool(torch.isfinite(part).all()):
                raise NeurosimInputError(f"tensor '{name}': holds NaN or infinity, which cannot be coded in spikes")
            dense.files.release()


@dataclass(frozen=True, eq=False)
class Calibration(Shown):
    """Results of text, for conversions of one model at any strength.

    Attributes:
        survey: statistics of the channels of a (rotated) model, for schemes with thresholds of channels; else None.
        remarks: messages for the user.
        factors: of k, by layer, for `Coding.balance`.
    """

    survey: Survey | None = None
    remarks: tuple[str, ...] = ()
    factors: Mapping[str, float] = field(default_factory=dict)


def calibrate_channels(
    dense: LanguageModel,
    coding: Coding,
    tokens: Tensor | None,
    seed: int = 0,
    windows: int = 64,
    length: int = 128,
    on_progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Collect the statistics for schemes with thresholds of channels, for any number of spikes.

    Arguments as in `convert`.
    """
    sample = draw_windows(_require_text(coding, tokens, length), windows, length, seed)
    remarks: tuple[str, ...] = ()
    if coding.rotate:
        dense, reason = rotate_to_principal_axes(dense, sample[: max(1, windows // 4)], seed)
        if reason:
            remarks = (f"the residual stream was not rotated: {reason}",)
    names = linear_names(dense, coding.head)
    return Calibration(survey_channels(dense, names, sample, coding.sent_as, seed, on_progress), remarks)


def calibrate_groups(
    dense: LanguageModel,
    coding: Coding,
    tokens: Tensor | None,
    seed: int = 0,
    windows: int = 64,
    length: int = 128,
    on_progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Return the factors of k of a coding with `balance`.

    Arguments as in `convert`; of the windows at most `balance.WINDOWS` are read.
    """
    windows = min(windows, balance.WINDOWS)
    sample = draw_windows(_require_text(coding, tokens, length), windows, length, seed)
    names = linear_names(dense, coding.head)
    return Calibration(factors=balance.balance_counts(dense, names, sample, seed, on_progress))


def _require_text(coding: Coding, tokens: Tensor | None, length: int) -> Tensor:
    """Return the text; raise where there is none, or too little for a window."""
    if tokens is None:
        source = "balance: takes a k for each group of layers"
        if not coding.balance:
            source = "takes thresholds"
        raise NeurosimInputError(f"scheme '{coding.scheme}': {source} from text; give a text (--calibrate FILE)")
    require(len(tokens) > length + 1, "calibration text", f"must have more than {length + 1} tokens", len(tokens))
    return tokens


def _by_layer(
    dense: LanguageModel,
    coding: Coding,
    sample: Tensor,
    seed: int,
    on_progress: Callable[[int, int], None] | None,
) -> Converted:
    """Convert with one threshold for each layer, and counts up to `Coding.levels`."""
    names = linear_names(dense, coding.head)
    thresholds = layer_thresholds(dense, names, sample, coding.scheme, coding.levels, seed, on_progress)
    coders = {
        name: Coder(coding.scheme, thresholds[name], shrink=coding.shrink, limit=float(coding.levels)) for name in names
    }
    return Converted(_copy(dense), coding, coders)


def _round_while_called(
    block: nn.Module,
    layers: Sequence[SpikedLinear],
    on: bool,
    threads: int,
    files: MappedFiles,
    rounded: list[float],
) -> list[RemovableHandle]:
    """Round the weights of a block's layers whenever it is called, and give them back; add the seconds to `rounded`."""

    def before(*_: object) -> None:
        start = time.perf_counter()
        for layer in layers:
            layer.execute(on, threads=threads)
            layer.prepare()
        rounded.append(time.perf_counter() - start)

    def after(*_: object) -> None:
        start = time.perf_counter()
        for layer in layers:
            layer.execute(False)
        files.release()
        trim_heap()
        rounded.append(time.perf_counter() - start)

    return [block.register_forward_pre_hook(before), block.register_forward_hook(after)]
