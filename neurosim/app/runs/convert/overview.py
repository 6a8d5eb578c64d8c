"""Overview of a conversion: loss, spikes, operations and energy; of a curve; of a training of a language model."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import compress

from ....base.measure.estimates import EnergyRange
from ....base.shown import counted
from ....language.conversion.records import EnergyComparison, LayerCosts
from ...report import numbers
from ..frame.facts import Fact, Overview, Table, energies
from .result import ConversionResult, ConvertResult, CurvePoint, CurveResult, Losses, TrainingResult

TIME = "Time of a"
WELL = 0.01  # increase of perplexity up to which the headline figure of a curve counts
MOST_ROWS = 48  # of layers, on a terminal; of more it has a row for each block
TITLES = {"convert": "converted into spikes", "curve": "loss against spikes", "lm-train": "a byte-level language model"}
DENSE = {"fp16": "dense, fp16", "int8": "dense, int8", "int4": "dense, int4"}
BASELINES = (
    "Network",
    "Arithmetic alone",
    "With memory",
    "In spikes: arithmetic alone",
    "With memory, sums too",
    "With memory, sums in registers",
)
# Loss and agreement of a layer alone show where a conversion loses. Bytes are of every spike reading its row, and of a
# row being read once for all spikes of a count: the traffic lies between the two.
SPIKES = ("Layer", "Size", "Spikes", "Silent", "Loss alone")
CURVE_COSTS = ("Operations", "Arithmetic", "With memory")
COSTS = ("Operations", "Bytes", "Bytes once", "Arithmetic", "With memory")
joules = partial(numbers.span, unit="J")


def overview_of(result: ConvertResult) -> Overview:
    """Return what page and terminal show of a run."""
    title = f"{result.network or 'A model'}: {TITLES.get(result.command_kind, 'not finished')}"
    layers = [f"{result.layer_kinds.count(name)} of {name}" for name in dict.fromkeys(result.layer_kinds)]
    lead = [
        f"{numbers.plain(result.parameters)} weights, layers: {' and '.join(layers)}" if layers else "",
        f"text: {result.text}" if result.text else "",
    ]
    if isinstance(result, ConversionResult):
        return _conversion(result, title, lead)
    if isinstance(result, CurveResult):
        return _curve(result, title, lead)
    if isinstance(result, TrainingResult):
        return _training(result, title, lead)
    return Overview(title=title, lead=lead, facts=[])


def _compared(result: ConversionResult | CurveResult) -> str:
    if result.tokens:
        return f"compared on {numbers.plain(result.tokens)} {result.unit}s of its end"
    return ""


def _conversion(result: ConversionResult, title: str, lead: list[str]) -> Overview:
    scheme = ""
    if result.scheme:
        meaning = result.scheme.rstrip(".")
        scheme = f"scheme: {meaning[:1].lower()}{meaning[1:]}"
    unit = result.unit
    closing = list(result.remarks)
    if result.speed is None and result.run:
        closing.append(f"Next: neurosim convert generate {shlex.quote(result.run)}, which says how long a {unit} takes")
    # The page names the parts.
    counts = Counter(operator.what for operator in result.operators)
    if counts:
        floats = "; ".join(f"{what} ({counted(count, 'part')})" for what, count in counts.items())
        closing = [f"On floats: {floats}", *closing]
    return Overview(
        title=title,
        lead=[lead[0], scheme, lead[1], _compared(result)],
        facts=[*_losses(result), *_costs(result), *_execution(result)],
        tables={
            "choice": _choice(result),
            "layers": _by_layer(result),
            "others": Table(
                "Where q, k and the state are coded", ("In spikes", "Loss alone", f"Same {unit}"), _others(result)
            ),
            "expansions": Table(
                f"Spikes a channel and {unit}",
                ("Expansion", "Spikes a channel"),
                [(name, numbers.three(spikes)) for name, spikes in result.by_expansion.items()],
            ),
            "baselines": _energies(result),
            "states": _states(result),
        },
        closing=closing,
    )


def _by_layer(result: ConversionResult) -> Table:
    caption = (
        f"By layer and {result.unit} of text: operations, bytes of weights read (a row for every spike; once for all "
        "spikes of a count), and energy."
    )
    heads = (*SPIKES, f"Same {result.unit}", *COSTS)
    rows = [_layer(layer, result.alone.get(layer.name)) for layer in result.layers]
    if len(rows) <= MOST_ROWS:
        return Table(caption, heads, rows)
    blocks: dict[str, list[LayerCosts]] = {}
    for layer in result.layers:
        # layers.3.mlp.experts.7.up_proj is of layers.3; lm_head stands alone.
        blocks.setdefault(".".join(layer.name.split(".")[:2]), []).append(layer)
    return Table(caption, heads, rows, short=[_block(name, layers) for name, layers in blocks.items()])


def _block(name: str, layers: Sequence[LayerCosts]) -> tuple[str, ...]:
    """Return the sums over the layers of a block; a layer that fewer tokens reach weighs less in means."""
    channels = [layer.dense_operations / layer.outputs for layer in layers]  # for each token
    total = sum(channels)
    spikes = sum(layer.spikes * part for layer, part in zip(layers, channels, strict=True))
    silent = sum(layer.silent * part for layer, part in zip(layers, channels, strict=True))
    return (
        name if len(layers) == 1 else f"{name}, {len(layers)} layers",
        numbers.DASH,
        numbers.fixed(spikes / total if total else None, 2),
        numbers.percent(silent / total if total else None),
        numbers.DASH,
        numbers.DASH,
        numbers.si(sum(layer.operations for layer in layers)),
        numbers.si(sum(layer.bytes for layer in layers), "B"),
        numbers.si(sum(layer.row_bytes for layer in layers), "B"),
        joules(_sum(layer.energy.compute_only for layer in layers)),
        joules(_sum(layer.energy.memory_aware for layer in layers)),
    )


def _sum(energies: Iterable[EnergyRange | None]) -> EnergyRange | None:
    """Return the sum of energies, None where one is not known."""
    low = 0.0
    high = 0.0
    for energy in energies:
        if energy is None:
            return None
        low += energy.low
        high += energy.high
    return EnergyRange(low, high)


def _choice(result: ConversionResult) -> Table:
    """Return the trials for a stated loss."""
    choice = result.choice
    if choice is None:
        return Table("", (), [])
    heads: tuple[str, ...] = (
        "Trial",
        "Spikes",
        "Active",
        "Perplexity change",
        "Divergence",
        "Loss more",
        f"{TIME} {result.unit}",
        "",
    )
    rows: list[tuple[str, ...]] = [
        (
            f"{choice.name} = {trial.strength:.3g}",
            numbers.three(trial.spikes),
            numbers.percent(trial.active),
            numbers.signed(trial.increase),
            f"{trial.divergence:.4f}",
            f"{trial.rise:+.4f}" if trial.error is None else f"{trial.rise:+.4f} +- {trial.error:.4f}",
            numbers.seconds(trial.seconds),
            "chosen" if trial.strength == choice.strength else "",
        )
        for trial in choice.trials
    ]
    if all(trial.seconds is None for trial in choice.trials):
        shown = [not head.startswith(TIME) for head in heads]
        heads = tuple(compress(heads, shown))
        rows = [tuple(compress(row, shown)) for row in rows]
    return Table(f"Trials for at most {numbers.percent(choice.limit, 2)} more perplexity", heads, rows)


def _losses(result: ConversionResult) -> list[Fact]:
    unit = result.unit
    own = numbers.plain(result.loss)
    dense = numbers.plain(result.dense_loss)
    note = f"loss {own}, dense {dense} nats a {unit}"
    if unit != "byte" and result.bytes_per_token:
        own, dense = (numbers.plain(result.per_byte(loss)) for loss in (result.loss, result.dense_loss))
        note = f"{note}, {own} and {dense} a byte"
    if result.perplexity_error is not None:
        note = f"standard error {numbers.percent(result.perplexity_error, 2)}; {note}"
    return [
        Fact(label="Perplexity change", value=result.perplexity_increase, format=numbers.signed, note=note),
        Fact(
            label=f"Same next {unit}",
            value=result.agreement,
            format=numbers.percent,
            note="as the dense model finds likeliest",
        ),
    ]


def _costs(result: ConversionResult) -> list[Fact]:
    unit = result.unit
    baselines = result.baselines
    note = f"a {unit}, memory included"
    if baselines is not None:
        saving = baselines.fp16.saving
        memory, alone = (numbers.against(saving.get(key)) for key in ("memory_aware", "compute_only"))
        note = f"{note}; beside dense fp16 {memory}, arithmetic alone {alone}"
    return [
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
            note=f"additions a {unit}; dense {numbers.si(result.dense_operations)} multiply-adds",
        ),
        Fact(label="Energy estimate", value=baselines and baselines.memory_aware, format=joules, note=note),
    ]


def _execution(result: ConversionResult) -> list[Fact]:
    """Return the time of a token, and how the executed model compares with the simulated one."""
    facts = []
    if result.speed:
        note = "compiled, one at a time"
        if result.speed.dense is not None:
            note = f"{note}; dense in float32 {numbers.seconds(result.speed.dense)}"
        facts.append(
            Fact(
                label=f"{TIME} {result.unit}",
                value=result.speed.spiking,
                format=numbers.seconds,
                note=note,
                of_clock=True,
            )
        )
    if result.execution:
        note = f"largest difference of a logit; same next {result.unit} {numbers.percent(result.execution.agreement)}"
        facts.append(Fact(label="Executed", value=result.execution.largest, note=note, tile=False))
    return facts


def _layer(layer: LayerCosts, alone: Losses | None) -> tuple[str, ...]:
    return (
        layer.name,
        f"{numbers.plain(layer.inputs)} to {numbers.plain(layer.outputs)}",
        numbers.fixed(layer.spikes, 2),
        numbers.percent(layer.silent),
        _rise(alone),
        numbers.percent(None if alone is None else alone.agreement),
        numbers.si(layer.operations),
        numbers.si(layer.bytes, "B"),
        numbers.si(layer.row_bytes, "B"),
        joules(layer.energy.compute_only),
        joules(layer.energy.memory_aware),
    )


def _states(result: ConversionResult) -> Table:
    """Return the updates of the states, only where values change and everywhere."""
    states = result.execution.state if result.execution else {}
    heads = ("State", "Bytes, lazily", "Bytes, densely", "Operations, lazily", "Operations, densely")
    rows = [
        (
            name,
            numbers.si(state.get("lazy_bytes"), "B"),
            numbers.si(state.get("dense_bytes"), "B"),
            numbers.si(state.get("operations")),
            numbers.si(state.get("dense_operations")),
        )
        for name, state in states.items()
    ]
    return Table(f"Updates of the states a {result.unit} of text", heads, rows)


def _others(result: ConversionResult) -> list[tuple[str, ...]]:
    """Return what is in spikes beside the layers, each alone."""
    names = {layer.name for layer in result.layers}
    others = [(name, alone) for name, alone in result.alone.items() if name not in names]
    return [(name, _rise(alone), numbers.percent(alone.agreement)) for name, alone in others]


def _rise(alone: Losses | None) -> str:
    """Return by how much the loss rises if a layer alone is in spikes."""
    if alone is None or alone.loss is None or alone.dense_loss is None:
        return numbers.DASH
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return f"{round(alone.loss - alone.dense_loss, 4) + 0.0:+.4f}"


def _energies(result: ConversionResult) -> Table:
    """Return the energy in spikes and dense, in every process; the one of the run comes first."""
    caption = f"Energy a {result.unit}"
    if result.baselines is None:
        return Table(caption, BASELINES, [])
    rows = _baselines(result.baselines)
    for other in result.processes:
        rows += [(f"{row[0]}; {other.profile}", *row[1:]) for row in _baselines(other)]
    if result.processes:
        caption = f"{caption}; {result.baselines.profile} where no other process is named"
    return Table(caption, BASELINES, rows)


def _baselines(comparison: EnergyComparison) -> list[tuple[str, ...]]:
    """Return the energy in spikes, and the energy of dense networks with the saving by spikes."""
    rows: list[tuple[str, ...]] = [
        ("in spikes, sums in memory", joules(comparison.compute_only), joules(comparison.memory_aware), "", "", ""),
        ("in spikes, sums in registers", joules(comparison.compute_only), joules(comparison.in_registers), "", "", ""),
    ]
    for name, title in DENSE.items():
        dense = getattr(comparison, name)
        if dense is None:
            continue
        saving = [numbers.against(dense.saving.get(key)) for key in ("compute_only", "memory_aware", "in_registers")]
        rows.append((title, joules(dense.compute_only), joules(dense.memory_aware), *saving))
    return rows


def _curve(result: CurveResult, title: str, lead: list[str]) -> Overview:
    # The headline: how few spikes are enough for (nearly) the dense model's perplexity.
    good = [point for point in result.points if (point.perplexity_increase or 0) <= WELL and point.spikes]
    best = min(good, key=lambda point: point.spikes or 0, default=None)
    scheme = "no point" if best is None else best.scheme
    unit = result.unit
    heads = ("Scheme", "Strength", "Spikes", "Silent", "Loss", "Perplexity change", f"Same {unit}", *CURVE_COSTS)
    return Overview(
        title=title,
        lead=[*lead, _compared(result)],
        facts=[
            Fact(label="Dense loss", value=result.dense_loss, note=f"nats a {unit}"),
            Fact(
                label="Fewest spikes a channel",
                value=None if best is None else best.spikes,
                format=numbers.three,
                note=f"at most {numbers.percent(WELL, 0)} perplexity more: {scheme}",
            ),
        ],
        tables={"points": Table("Every conversion of the curve", heads, [_point(p) for p in result.points])},
    )


def _point(point: CurvePoint) -> tuple[str, ...]:
    energy = point.baselines
    return (
        point.scheme,
        numbers.three(point.strength),
        numbers.three(point.spikes),
        numbers.percent(point.silent),
        numbers.plain(point.loss),
        numbers.signed(point.perplexity_increase),
        numbers.percent(point.agreement),
        numbers.si(point.operations),
        joules(energy and energy.compute_only),
        joules(energy and energy.memory_aware),
    )


def _training(result: TrainingResult, title: str, lead: list[str]) -> Overview:
    loss = Fact(label="Validation loss", value=result.validation_loss, note="nats a byte")
    took = Fact(label="Time", value=result.timings.get("total"), format=numbers.seconds, tile=False, of_clock=True)
    closing = [*result.remarks, f"Next: neurosim convert {result.run} --loss 1%"]
    facts = [loss, *(each.below() for each in energies(result.energy, "a byte")), took]
    return Overview(title=title, lead=lead, facts=facts, closing=closing)
