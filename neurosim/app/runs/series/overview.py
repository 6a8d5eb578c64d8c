"""Overview of a liquid's run on a series: errors by horizon beside two baselines, memory, and cost."""

from __future__ import annotations

from ....base.shown import counted
from ...report import numbers
from ..frame.facts import Fact, Overview, Table, digest, energies, operations, speed
from .result import HorizonError, SeriesResult

CAPTION = "Root mean squared errors on the test part, in standard deviations of it; 1 is what its mean would give."


def overview_of(result: SeriesResult) -> Overview:
    """Return what page and terminal show of a run."""
    lead = [
        f"{numbers.plain(result.samples)} values, the first {numbers.plain(result.train)} to learn on",
        f"{counted(result.neurons, 'neuron')}",
    ]
    if tuple(result.inputs) != (result.target,):
        lead.append(f"from {', '.join(result.inputs)}")
    if result.missing:
        lead.append(f"{counted(result.missing, 'empty cell')} filled with the value before")
    return Overview(
        title=" of ".join(dict.fromkeys(["Forecasts", result.target, result.dataset])),
        lead=lead,
        facts=[
            *(_error(each, tile=k < 2) for k, each in enumerate(result.errors)),
            *_memory(result),
            Fact(label="Spikes", value=result.spikes, note="of the liquid for each value", tile=False),
            operations(result.measures, each="per value; "),
            *energies(result.energy, "per value"),
            speed(result.real_time_factor),
            digest("Spike digest", result.digest),
        ],
        tables={"errors": _table(result)},
    )


def _error(each: HorizonError, *, tile: bool) -> Fact:
    note = f"linear autoregression {numbers.three(each.linear)}"
    if each.last is not None:
        note += f", last value {numbers.three(each.last)}"
    return Fact(label=f"Error {each.horizon} ahead", value=each.liquid, format=numbers.three, note=note, tile=tile)


def _memory(result: SeriesResult) -> list[Fact]:
    if result.memory_capacity is None:
        return []
    ranks = f"of {numbers.plain(result.ranked)} random series; {numbers.plain(result.generalisation_rank)} of series "
    ranks += "that end alike"
    return [
        Fact(
            label="Memory capacity",
            value=result.memory_capacity,
            format=numbers.three,
            note=f"random values before, of {len(result.memory)} lags",
        ),
        Fact(label="Kernel rank", value=result.kernel_rank, note=ranks),
    ]


def _table(result: SeriesResult) -> Table:
    heads = ("Values ahead", "Liquid", f"Linear, {counted(result.lags, 'value')}", "Last value")
    rows = [
        (
            numbers.plain(each.horizon),
            numbers.three(each.liquid),
            numbers.three(each.linear),
            numbers.three(each.last),
        )
        for each in result.errors
    ]
    return Table(CAPTION, heads, rows)
