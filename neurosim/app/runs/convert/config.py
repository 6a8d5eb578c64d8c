"""The configs of a conversion, of its curve and of the training of a language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from ....base.errors import lookup, require
from ....base.rules import Count, FilePath, Natural, NotEmpty, Positive, Rule, Seed
from ....language.attention.kinds import KINDS, options_of
from ....language.attention.model import MixerSpec
from ....language.attention.patterns import parse_layers
from ....language.attention.train import LanguageTraining
from ....language.conversion.coding import SCHEMES
from ....language.conversion.settings import Coding
from ....language.conversion.tuning import Tuning
from ..frame.config import Energy, RunConfig, sources_of, without_use
from ..frame.settings import ConfigSource, merge, resolve

Level = Annotated[int, Rule(">= 1 and <= 127")]
Many = Annotated[tuple[Positive, ...], NotEmpty()]
LOSS = 0.01  # stated loss of a conversion for which no strength is named
FEWEST = "canonical"  # the expansion of fewest spikes
PRICE = 0.5  # of a spike, in squared thresholds, where a loss is stated


@dataclass(frozen=True)
class Text:
    """The text.

    Attributes:
        file: of any bytes, or token ids in a `.npy` file; none for the prose that ships with Python.
        held_out: fraction at its end on which losses are reported; calibration and training see the rest.
        tokens: maximum number of tokens of it that are predicted. The error of the losses is in the results.
    """

    file: FilePath | None = None
    held_out: Annotated[float, Rule("> 0 and < 1")] = 0.1
    tokens: Count = 8192


@dataclass(frozen=True)
class ReadingSettings:
    """Settings of a checkpoint that its files do not say.

    Attributes:
        norm_eps: epsilon of the norm of each head's outputs, of RWKV; by default as the RWKV project has it, 64e-5 (or
            as head_size_divisor in config.json gives it). rwkv.cpp takes 1e-5.
    """

    norm_eps: Positive | None = None


@dataclass(frozen=True)
class CalibrationSettings:
    """Text for the calibration of thresholds.

    Thresholds of scheme 'ternary' come from each token and read none of it, unless `coding.balance` is true or
    `coding.weights` are int4.

    Attributes:
        windows, length: number and length (tokens) of windows, from anywhere in the text before its held-out end.
    """

    windows: Count = 64
    length: Count = 128


@dataclass(frozen=True)
class ChoiceSettings:
    """Choice of the strength of the coding for a stated loss.

    Attributes:
        loss: largest increase of the perplexity, as a fraction; without it the coding has the strength that its
            settings name. The command line takes 0.01 where none of coding.k, coding.spikes and coding.levels is named.
        tokens: number of tokens that each trial predicts, before the held-out end of the text.
        trials: maximum number of strengths that are tried.
    """

    loss: Annotated[float, Rule("> 0 and < 10")] | None = None
    tokens: Count = 4096
    trials: Count = 6


@dataclass(frozen=True)
class ReportSettings:
    """Further measurements.

    Attributes:
        layer_tokens: tokens for the loss of each layer alone, for which the model reads them once a layer; 0 skips it.
            By default 512, or 0 where that would take minutes.
        executed_tokens: tokens that also run by adding rows of weights, beside the simulated form.
        timed_tokens: last tokens of the text over which the compiled step is timed; 0 skips it, and the compiling of
            the step, which takes a first command on a machine longer than all else.
    """

    layer_tokens: Natural | None = None
    executed_tokens: Count = 512
    timed_tokens: Natural = 0


@dataclass(frozen=True)
class CurveSettings:
    """Points of the curve: a scheme's strengths.

    Attributes:
        schemes: names of `convert.SCHEMES`.
        ks: for the schemes that take k.
        levels: for those that take levels.
        spikes: mean spikes a channel, for the schemes that take that.
        tokens: number of predicted tokens at each point.
    """

    schemes: Annotated[tuple[str, ...], NotEmpty()] = ("ternary", "qcfs", "stbif", "calibrated")
    ks: Many = (0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
    levels: Annotated[tuple[Level, ...], NotEmpty()] = (3, 7, 15, 31, 63)
    spikes: Many = (0.35, 0.5, 0.65, 0.8, 1.0, 1.25)
    tokens: Count = 8192


@dataclass(frozen=True, kw_only=True)
class ConvertConfig(RunConfig):
    """Everything that decides a conversion's results.

    Attributes:
        seed: key of every random draw.
        text: the text.
        reading: of the checkpoint.
        coding: of the model; see `convert.Coding`.
        calibration: text for thresholds.
        tuning: training after the calibration, 0 steps by default; see `convert.Tuning`.
        report: further measurements.
        curve: points of the curve.
        energy: settings of the estimates.
    """

    seed: Seed = 0
    text: Text = Text()
    reading: ReadingSettings = ReadingSettings()
    coding: Coding = Coding()
    calibration: CalibrationSettings = CalibrationSettings()
    choice: ChoiceSettings = ChoiceSettings()
    tuning: Tuning = Tuning(steps=0)
    report: ReportSettings = ReportSettings()
    curve: CurveSettings = CurveSettings()
    energy: Energy = Energy()

    @classmethod
    def configure_one(
        cls,
        file: Path | str | None = None,
        sets: Sequence[str] = (),
        values: Mapping[str, object] | None = None,
    ) -> ConvertConfig:
        """Return the config of a new run of one conversion, as `configure` with defaults of its own.

        A loss is stated where no strength of the coding is named. Where one is stated, counts are sent in the digits
        of fewest spikes and rounded by their price, and each group of layers has a k of its own. A strength that is
        named beside the file takes the place of a loss that the file states, as that of an earlier run does.
        """
        sources = sources_of(file, sets, values or {})
        strengths = {each.strength for each in SCHEMES.values()}
        of_file = _table(sources[0].tree, "choice")
        beside = merge(sources[1:])
        is_named = bool(strengths & _table(beside, "coding").keys())
        if is_named and "loss" in of_file and "loss" not in _table(beside, "choice"):
            rest = {key: value for key, value in sources[0].tree.items() if key != "choice"}
            sources[0] = replace(sources[0], tree=rest)
        tree = merge(sources)
        coding = _table(tree, "coding")
        name = str(coding.get("scheme", Coding.scheme))
        scheme = SCHEMES.get(name)
        defaults: dict[str, object] = {}
        # A trial of a scheme that is trained would train it each time.
        if not strengths & coding.keys() and (scheme is None or not scheme.learned):
            defaults["choice"] = {"loss": LOSS}
        # Of SmolLM2 8 % fewer spikes than in binary digits; thresholds of channels are priced in the digits in use.
        if name == Coding.scheme and (defaults or "loss" in _table(tree, "choice")):
            own: dict[str, object] = {"expansion": FEWEST, "balance": True}
            if coding.get("expansion", FEWEST) == FEWEST:
                own["price"] = PRICE
            defaults["coding"] = own
        below = ConfigSource("the defaults of conversions", defaults)
        config = resolve(cls, [below, *sources]).checked()
        config.check_uses(config.unused_of_one(), [below])
        return config

    def unused(self) -> Mapping[str, str]:
        """Return settings and tables that the curve, which names schemes and strengths, has no use for."""
        unused = without_use("for a curve", "choice", "coding.scheme", "coding.spikes", "coding.levels")
        if not (self.coding.qk or self.coding.state):
            unused |= without_use("for a curve", "coding.k")
        return unused | self._unused_of_tuning()

    def unused_of_one(self) -> Mapping[str, str]:
        """Return settings and tables that a conversion of this scheme has no use for."""
        unused = unused_of_coding(self.coding) | without_use("for one conversion", "curve")
        if self.choice.loss is None:
            unused |= without_use("without choice.loss", "choice.tokens", "choice.trials")
        return unused | self._unused_of_tuning()

    def _unused_of_tuning(self) -> dict[str, str]:
        return {} if self.tuning.steps else without_use("with tuning.steps 0", "tuning")

    def code(self, **changed: Any) -> Coding:
        """Return the coding of the model, with some settings changed."""
        return replace(self.coding, **changed)

    def tune(self, price: float) -> Tuning:
        return replace(self.tuning, price=price, seed=self.seed)

    def check(self) -> None:
        timed = self.report.timed_tokens
        require(timed != 1, "report.timed_tokens", "must be 0, or at least 2", timed)
        for scheme in self.curve.schemes:
            lookup(SCHEMES, scheme, "curve.schemes")
        if self.tuning.steps:
            self.tune(0.0).check()
        # The rule of `Coding.spikes`, which would fail only at its point, after others were measured.
        require(max(self.curve.spikes) < 8, "curve.spikes", "must be < 8 a channel", max(self.curve.spikes))


def unused_of_coding(coding: Coding) -> dict[str, str]:
    """Return the settings of a coding that its scheme has no use for."""
    name = f"with coding.scheme '{coding.scheme}'"
    scheme = SCHEMES[coding.scheme]
    used = {scheme.strength}
    # q, k and the state are sent as `ternary` sends values.
    if coding.qk or coding.state:
        used.add("k")
    others = sorted({each.strength for each in SCHEMES.values()} - used)
    unused = without_use(name, *(f"coding.{strength}" for strength in others))
    if not scheme.channel:
        unused |= without_use(name, "coding.rotate")
    return unused


def _table(tree: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return the settings of a section that a user has named."""
    table = tree.get(name)
    return table if isinstance(table, Mapping) else {}


# The kind of run finds its settings by this name.
CONFIG = ConvertConfig


@dataclass(frozen=True)
class Layers:
    """Layers of one kind in a hybrid.

    Attributes:
        kind: of attention, a name of `attention.kinds.KINDS`.
        options: of that kind; where none are given, those that suit it.
        count: number of such layers, one above the other.
    """

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    count: Count = 1


@dataclass(frozen=True)
class Model:
    """The language model that is trained.

    Attributes:
        kind: of attention, a name of `attention.kinds.KINDS`.
        options: of that kind.
        pattern: kinds of a hybrid, bottom to top, instead of `kind`: "gla*3,window".
        stack: the same as a list of tables [[model.stack]], each with options of its own.
        layers: number of layers; a pattern or stack is repeated over them. Default: 4, or once the hybrid.
        width, hidden: channels of the residual stream and of the feed-forward layers.
    """

    kind: str = "gated_deltanet"
    options: dict[str, bool | int | float | str | None] | None = None
    pattern: str | None = None
    stack: tuple[Layers, ...] = ()
    layers: Count | None = None
    width: Count = 144
    hidden: Count | None = 384

    @property
    def name(self) -> str:
        """Kind, or kinds of a hybrid, bottom to top, as a pattern."""
        parts = [each.kind if each.count == 1 else f"{each.kind}*{each.count}" for each in self.stack]
        return self.pattern or ",".join(parts) or self.kind

    def check(self) -> None:
        """Check the kinds and their options.

        Raises:
            NeurosimInputError: a hybrid that is described twice, or with options of one kind; an unknown kind.
        """
        require(not (self.pattern and self.stack), "model.stack", "must not stand beside model.pattern", self.name)
        hybrid = self.pattern or self.stack
        rule = "must be options of one kind; give options of a hybrid in model.stack"
        require(self.options is None or not hybrid, "model.options", rule, self.options)
        for layer in self.mixers():
            options_of(layer.kind)

    def mixers(self) -> tuple[MixerSpec, ...]:
        """Return the mixer of each layer, bottom to top.

        Raises:
            NeurosimInputError: a pattern that names no kinds.
        """
        period: list[tuple[str, Mapping[str, Any] | None]]
        if self.pattern is not None:
            period = [(kind, options or None) for kind, options in parse_layers(self.pattern, KINDS, "model.pattern")]
        elif self.stack:
            period = [(each.kind, each.options or None) for each in self.stack for _ in range(each.count)]
        else:
            period = [(self.kind, self.options)] * (self.layers or 4)
        specs = [MixerSpec(kind, _options_or_default(kind, options)) for kind, options in period]
        # A hybrid is repeated over the layers, from the bottom up.
        return tuple(specs[i % len(specs)] for i in range(self.layers or len(specs)))


# Options that suit a kind, if the config gives none.
OPTIONS: Mapping[str, Mapping[str, int]] = {
    kind: {"num_heads": 2, "head_dim": 64, "head_v_dim": 64} for kind in ("gated_deltanet", "deltaproduct", "kda")
}


def _options_or_default(kind: str, options: Mapping[str, Any] | None) -> Mapping[str, object]:
    if options is None:
        return OPTIONS.get(kind, {})
    return options


@dataclass(frozen=True, kw_only=True)
class LmConfig(RunConfig):
    """Everything that decides the training of a language model.

    Attributes:
        seed: of first weights and windows.
        text: which text; its held-out end is for validation.
        model: the model.
        training: see `attention.train.LanguageTraining`.
        energy: settings of the estimates.
    """

    seed: Seed = 0
    text: Text = Text()
    model: Model = Model()
    training: LanguageTraining = LanguageTraining(steps=600)  # about three minutes on two cores
    energy: Energy = Energy()

    def check(self) -> None:
        self.model.check()

    def schedule(self) -> LanguageTraining:
        return replace(self.training, held_out=self.text.held_out, seed=self.seed)
