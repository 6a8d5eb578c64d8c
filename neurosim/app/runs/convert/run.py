"""A language model converted into spikes, beside the dense one: loss, agreement, spikes, operations, bytes, energy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch

from ....base.heap import trim_heap
from ....base.measure.estimates import energy
from ....base.measure.measures import Measures, measure
from ....base.measure.work import LayerCounts
from ....language.attention.tokenizer import copy_tokenizer
from ....language.conversion.checkpoint import write_converted
from ....language.conversion.choice import choose_coding, split_for_choice
from ....language.conversion.coding import SCHEMES
from ....language.conversion.comparison import check_execution, compare_models, each_layer_alone
from ....language.conversion.convert import Calibration, calibrate_channels, calibrate_groups, check_coding, convert
from ....language.conversion.costs import (
    Histograms,
    coding_counts,
    energy_comparison,
    layer_costs,
    layer_counts,
    other_processes,
    spike_totals,
)
from ....language.conversion.decoder.program import NotCompiledError
from ....language.conversion.model import Converted
from ....language.conversion.records import Choice, Comparison, ExecutionCheck, Speed, Trial
from ....language.conversion.settings import Coding
from ....language.conversion.speed import float_bytes, measure_speed
from ....language.conversion.state_work import state_counts, uncounted_states
from ....language.conversion.tuning import tune
from ..frame.kind import Inputs, Run
from ..frame.options import RunOptions
from ..frame.progress import bar
from .config import ConvertConfig
from .result import ConversionResult, Losses, Operator, SpikingSummary
from .source import MODEL, ConversionSource, load, model_folder, pinned_model

MUCH = 0.02  # increase of perplexity from which on a remark says how to lose less
LAYER_TOKENS = 512  # read once for each layer alone
MAX_LAYER_WORK = 10**12  # layers x tokens x weights: some 100 s on one core, which does 1e10 a second


ConvertRun: TypeAlias = Run[ConvertConfig, ConversionSource]


def load_to_convert(
    path: Path, config: ConvertConfig, codings: Iterable[Coding], options: RunOptions, command: str
) -> Inputs[ConversionSource]:
    """Return a dense model that takes the codings, and the text to convert it with."""
    source = load(pinned_model(path, options.say), config, options.device, config.reading.norm_eps)
    for coding in codings:
        check_coding(source.model, coding)
    return Inputs(source, {"model": str(source.path), "text": source.text}, {"command_kind": command})


def convert_model(run: ConvertRun) -> ConversionResult:
    """Convert a model, and measure it beside the dense one; the folder then holds the converted model."""
    source = run.inputs
    coding = run.config.coding
    choice = None
    calibration = None
    if run.config.choice.loss is not None:
        run, coding, choice, calibration = _choose(run, run.config.choice.loss)
    with run.time("convert"):
        converted = make(run, coding, calibration)
    # Measured while simulated, on all tokens; then some of them by adding rows, which must give the same answers.
    result = replace(_measured(run, converted), choice=choice)
    trim_heap()
    execution = _executed(run, converted)
    run.options.say("writing the model")
    with run.time("write"):
        write_converted(run.path / MODEL, converted)
        copy_tokenizer(model_folder(source.path), run.path / MODEL)
    speed, remarks = _speed(run, converted)
    remarks = (*result.remarks, *remarks, *_loses_much(result))
    return replace(result, execution=execution, speed=speed, remarks=remarks)


def _loses_much(result: ConversionResult) -> tuple[str, ...]:
    """Return how to choose a coding that loses less, where none was chosen and the loss is large beside its error."""
    rise = result.perplexity_increase
    if result.choice is not None or rise is None or rise - 2 * (result.perplexity_error or 0.0) <= MUCH:
        return ()
    return (f"perplexity rises by {rise:.1%}; --loss 1% chooses the coding for at most one percent",)


def _choose(run: ConvertRun, limit: float) -> tuple[ConvertRun, Coding, Choice, Calibration | None]:
    """Return the run without the text of the choice, the coding for a stated loss, its trials and its calibration."""
    config = run.config
    source = run.inputs
    options = run.options
    sizes = config.calibration
    text = split_for_choice(source.learn, config.choice.tokens)
    setting = SCHEMES[config.coding.scheme].strength

    def tell(trial: Trial) -> None:
        spikes = f"{trial.spikes:.2f} spikes a channel"
        options.say(f"{setting} = {trial.strength:.3g}: {spikes}, divergence {trial.divergence:.4f} nats")

    with run.time("choose"), bar("choosing", "windows", options.quiet) as report:
        # Once for all trials, whose strengths change no statistics of the text.
        calibration = None
        arguments = (source.model, config.coding, text.learn, config.seed, sizes.windows, sizes.length)
        if SCHEMES[config.coding.scheme].channel:
            calibration = calibrate_channels(*arguments)
        elif config.coding.balance:
            calibration = calibrate_groups(*arguments)
        converter = partial(
            convert,
            source.model,
            tokens=text.learn,
            seed=config.seed,
            windows=sizes.windows,
            length=sizes.length,
            calibration=calibration,
        )
        coding, choice = choose_coding(
            source.model,
            config.coding,
            text,
            limit,
            converter=converter,
            max_trials=config.choice.trials,
            threads=options.threads or 1,
            timed=config.report.timed_tokens,
            on_trial=tell,
            on_progress=report,
        )
    run.folder.note(choice=choice)
    return replace(run, inputs=replace(source, learn=text.learn)), coding, choice, calibration


def make(run: ConvertRun, coding: Coding, calibration: Calibration | None = None) -> Converted:
    """Return the converted model, fine-tuned if the config asks for it."""
    config = run.config
    source = run.inputs
    sizes = config.calibration
    say = run.options.say
    quiet = run.options.quiet
    with bar("calibrating", "windows", quiet) as report, bar("rounding", "layers", quiet) as on_rounded:
        converted = convert(
            source.model,
            coding,
            source.learn,
            seed=config.seed,
            windows=sizes.windows,
            length=sizes.length,
            on_message=say,
            calibration=calibration,
            on_progress=report,
            on_rounded=on_rounded,
        )
    for line in converted.remarks:
        say(line)
    # After calibration, whose thresholds are where the training starts. A price says that they were chosen for a mean
    # number of spikes; the training then keeps it.
    if config.tuning.steps:
        with run.time("tune"), bar("fine-tuning", "updates", run.options.quiet) as report:

            def on_progress(done: int, steps: int, loss: float) -> None:
                if report is not None:
                    report(done, steps, f"loss {loss:.4f}")

            tune(
                converted.model,
                converted.layers,
                source.learn,
                config.tune(converted.price),
                on_progress,
                spikes=coding.spikes if converted.price else None,
                teacher=source.model,
                expansion=coding.sent_as,
            )
    return converted


def losses(comparison: Comparison) -> Losses:
    """Return the losses of a comparison."""
    return Losses(dense_loss=comparison.dense, loss=comparison.spiking, agreement=comparison.agreement)


def measured(converted: Converted, histograms: Histograms, layers: list[LayerCounts], tokens: int) -> Measures:
    """Return the measures of the linear layers, whose input spikes are the events, of their coders, and of the states
    between them."""
    events = sum(layer.input_events or 0 for layer in layers)
    return measure([*layers, *_besides(converted, histograms)], tokens, 0.0, events)


def _besides(converted: Converted, histograms: Histograms) -> list[LayerCounts]:
    """Return the counts of coders and states."""
    return [*coding_counts(converted, histograms), *state_counts(converted, histograms)]


def summarise(
    converted: Converted, histograms: Histograms, comparison: Comparison, profile: str
) -> tuple[SpikingSummary, list[LayerCounts]]:
    """Return losses and costs of a converted model, and the counts of its layers."""
    layers = layer_counts(converted, histograms)
    coding = converted.coding
    totals = spike_totals(converted, histograms)
    tokens = comparison.tokens
    summary = SpikingSummary(
        **vars(losses(comparison)),
        tokens=tokens,
        perplexity_increase=comparison.perplexity_increase,
        perplexity_error=comparison.perplexity_error,
        coding=asdict(coding),
        sent_as=coding.sent_as,
        spikes=totals.spikes,
        silent=totals.silent,
        escaped=totals.escaped,
        by_expansion=totals.by_expansion,
        operations=sum(layer.synaptic_operations or 0 for layer in layers) / tokens,
        dense_operations=sum(layer.dense_operations or 0 for layer in layers) / tokens,
        baselines=energy_comparison([*layers, *_besides(converted, histograms)], tokens, profile),
    )
    return summary, layers


def _measured(run: ConvertRun, converted: Converted) -> ConversionResult:
    """Compare both models on the held-out text, and count the spikes of every layer."""
    config = run.config
    source = run.inputs
    quiet = run.options.quiet
    profile = config.energy.profile
    with (
        run.time("compare"),
        bar("comparing", f"{source.tokenizer.unit}s", quiet) as report,
        converted.counting() as histograms,
    ):
        # One token more than is predicted: the first has none before it.
        text = source.held_out[: config.text.tokens + 1]
        comparison = compare_models(source.model, converted.model, text, on_progress=report)
    summary, layers = summarise(converted, histograms, comparison, profile)
    alone: dict[str, Comparison] = {}
    layer_tokens, left_out = _layer_tokens(source, converted, config)
    if layer_tokens:
        text = source.held_out[: layer_tokens + 1]
        coders = f"{len(converted.coders())} layers, each alone in spikes on {layer_tokens:,} {source.tokenizer.unit}s"
        with run.time("layers"), bar(coders, "layers", quiet) as report:
            alone = each_layer_alone(source.model, converted, text, report)
    measures = measured(converted, histograms, layers, comparison.tokens)
    return ConversionResult(
        **vars(source.facts()),
        **vars(summary),
        seed=config.seed,
        planes=converted.coding.sent_planes,
        scheme=_meaning(converted.coding),
        price=converted.price,
        remarks=(*converted.remarks, *left_out, *uncounted_states(converted.model), *_guesses(run)),
        entries=spike_totals(converted, histograms).entries,
        layers=tuple(layer_costs(converted, histograms, layers, profile)),
        processes=other_processes([*layers, *_besides(converted, histograms)], comparison.tokens, profile),
        measures=measures,
        energy=energy(measures.layers, comparison.tokens, profile),
        alone={name: losses(each) for name, each in alone.items()},
        alone_tokens=next((each.tokens for each in alone.values()), None),
        operators=tuple(Operator(name=name, what=what) for name, what in converted.dense),
    )


def _meaning(coding: Coding) -> str:
    """Return the rules of a coding in words."""
    parts = [SCHEMES[coding.scheme].meaning.rstrip(".")]
    if coding.balance:
        parts.append("a k for each group of layers, k in the mean")
    if coding.price:
        parts.append(f"counts rounded by a price of {coding.price:g} squared thresholds a spike")
    return "; ".join(parts) + "."


def _guesses(run: ConvertRun) -> tuple[str, ...]:
    """Return a remark on the epsilon that files of RWKV do not say."""
    path = run.inputs.path
    kinds = {layer.kind for layer in run.inputs.model.config.layers}
    if path.suffix != ".pth" or run.config.reading.norm_eps is not None or not kinds & {"rwkv5", "rwkv6", "rwkv7"}:
        return ()
    return (
        f"{path.name} does not say the epsilon of the norm of each head's outputs: 64e-5 is taken, as by the RWKV "
        "project; for a model that rwkv.cpp runs: --set reading.norm_eps=1e-5",
    )


def _layer_tokens(source: ConversionSource, converted: Converted, config: ConvertConfig) -> tuple[int, tuple[str, ...]]:
    """Return the tokens that the model reads once for each layer alone, and a remark where that is left out."""
    tokens = config.report.layer_tokens
    if tokens is not None:
        return tokens, ()
    coders = len(converted.coders())
    weights = source.model.parameter_count()
    if coders * LAYER_TOKENS * weights <= MAX_LAYER_WORK:
        return LAYER_TOKENS, ()
    remark = (
        f"the loss of each layer alone is left out: {coders} times, a model of {weights:,} weights would read "
        f"{LAYER_TOKENS:,} {source.tokenizer.unit}s; --set report.layer_tokens={LAYER_TOKENS} measures it"
    )
    return 0, (remark,)


def _executed(run: ConvertRun, converted: Converted) -> ExecutionCheck:
    """Run the same tokens simulated and by adding rows of weights."""
    config = run.config
    held_out = run.inputs.held_out
    # Windows side by side are one batch, which takes as many steps of the recurrence as one window.
    length = min(config.calibration.length, config.report.executed_tokens, len(held_out) // 2)
    streams = max(1, min(config.report.executed_tokens, len(held_out)) // length)
    tokens = held_out[: streams * length].view(streams, length)
    run.options.say(f"running {tokens.numel():,} {run.inputs.tokenizer.unit}s by adding rows of weights, and simulated")
    with run.time("execute"), bar("running", "forms", run.options.quiet) as report:
        return check_execution(converted, tokens, run.options.threads or torch.get_num_threads(), report)


def _speed(run: ConvertRun, converted: Converted) -> tuple[Speed | None, tuple[str, ...]]:
    """Time the compiled step on the end of the held-out text where the settings ask for it, or return why not."""
    tokens = run.config.report.timed_tokens
    if run.options.device != "cpu" or not tokens:
        return None, ()
    run.options.say(f"timing the compiled step on {tokens:,} {run.inputs.tokenizer.unit}s")
    with run.time("speed"), bar("timing", "steps", run.options.quiet) as report:
        try:
            speed = measure_speed(converted, run.inputs.held_out[-tokens:].tolist(), run.options.threads or 1, report)
        except NotCompiledError as error:
            return None, (f"no time of a token: {error}",)
    if speed.dense is not None:
        return speed, ()
    remark = (
        f"the dense step was not timed: its float32 weights would take {float_bytes(converted.model) / 1e6:.0f} MB; "
        "'neurosim convert generate MODEL' times it"
    )
    return speed, (remark,)
