"""Overview of a linearisation: what each stage cost, from softmax to spikes."""

from __future__ import annotations

from functools import partial

from ....report import numbers
from ...frame.facts import Fact, Overview, Table, energies
from .result import SPIKING, LinearisationResult, LinearisationStage

TITLES = {
    "softmax": "softmax",
    "match": "linear, layers matched",
    "layer": "linear, all of the layers",
    "tune": "linear, whole tuned",
    "spikes": "in spikes",
}
# A row a model, from the teacher to spikes: how far it is from the teacher, then what making it cost. "Trained" is the
# number of parameters that a stage changes.
STAGES = ("Model", "Loss", "Perplexity change", "Same token", "State", "Seconds", "Updates", "Trained")
BLANK = LinearisationStage(name="")


def overview_of(result: LinearisationResult) -> Overview:
    """Return what page and terminal show of a run."""
    kinds = [f"{result.student_kinds.count(name)} of {name}" for name in dict.fromkeys(result.student_kinds)]
    length = numbers.plain(result.length)
    compared = f"compared on {numbers.plain(result.tokens)} tokens of its end in windows of {length}"
    follow = f"Next: neurosim convert generate {result.run}/{SPIKING}, or neurosim convert {result.run}"
    return Overview(
        title=f"{result.network or 'A model'}: from softmax to spikes",
        lead=[
            f"{numbers.plain(result.parameters)} weights, layers: {' and '.join(kinds)}" if kinds else "",
            f"text: {result.text}" if result.text else "",
            compared if result.tokens else "",
        ],
        facts=[*_facts(result), *energies(result.energy, "a token")],
        tables={
            "stages": Table("What each stage cost", STAGES, [_stage(stage) for stage in result.stages]),
            "layers": _layers(result),
        },
        closing=[*result.remarks, follow],
    )


def _facts(result: LinearisationResult) -> list[Fact]:
    stages = {stage.name: stage for stage in result.stages}
    # The last linear stage; one of 0 steps is not in the results.
    linear = stages.get("tune") or stages.get("layer") or stages.get("match") or BLANK
    softmax = stages.get("softmax", BLANK)
    spikes = stages.get("spikes", BLANK)
    size = partial(numbers.si, unit="B")
    return [
        Fact(
            label="Perplexity change, linear",
            value=linear.perplexity_increase,
            format=numbers.signed,
            note=f"loss {numbers.plain(linear.loss)}, softmax {numbers.plain(softmax.loss)} nats a token",
        ),
        Fact(
            label="Perplexity change, spikes",
            value=result.conversion_increase,
            format=numbers.signed,
            note=f"above the linear model's; {numbers.signed(spikes.perplexity_increase)} above the softmax model's",
        ),
        Fact(
            label="State",
            value=linear.state_bytes,
            format=size,
            note=f"softmax {size(softmax.state_bytes)} after a window",
        ),
        Fact(
            label="Spikes a channel",
            value=result.spikes,
            format=numbers.three,
            note=f"{numbers.percent(result.silent)} of channels are silent",
        ),
        Fact(
            label="Operations",
            value=result.operations,
            format=numbers.si,
            note=f"a token; dense {numbers.si(result.dense_operations)}",
            tile=False,
        ),
    ]


def _stage(stage: LinearisationStage) -> tuple[str, ...]:
    return (
        TITLES.get(stage.name, stage.name),
        numbers.plain(stage.loss),
        numbers.signed(stage.perplexity_increase),
        numbers.percent(stage.agreement),
        numbers.si(stage.state_bytes, "B"),
        numbers.three(stage.seconds),
        numbers.plain(stage.updates),
        numbers.plain(stage.trained),
    )


def _layers(result: LinearisationResult) -> Table:
    """Return the share of the power of each layer's output that the linear layer misses, after each stage."""
    matched = [stage for stage in result.stages if stage.errors]
    rows = [
        (f"{layer}, {result.student_kinds[layer]}", *(numbers.percent(stage.errors[k]) for stage in matched))
        for k, layer in enumerate(result.replaced if matched else ())
    ]
    return Table("Replaced layers", ("Layer", *(TITLES[stage.name] for stage in matched)), rows)
