"""The page of a network's run: rasters, rates, intervals, probed states, measures, energy, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ... import files
from ...errors import NeurosimError
from ...report import numbers, page, parts, pixels, plots
from ...report.html import Child, Html
from ...report.numbers import number
from ...report.page import Section
from ...report.parts import table_of
from ...report.recordings import SPIKES, course, firing, intervals
from ...report.simulate import against, date, energy_note, speed
from ...spikes import Spikes
from ..folder import RunFolder
from ..lifecycle import config_text
from .result import NetworkResult, PopulationResult, ProbeResult

STATES = "states.safetensors"
COLUMNS, ROWS = 470, 100  # pixels of a raster; each row is one unit
MAX_DRAWN = 12  # populations and probes drawn; the table lists all
UNITS = 5  # curves of one probe


def render(folder: RunFolder, result: NetworkResult) -> str:
    """Return the whole page."""
    spikes, why = _read(folder.path, [each.name for each in result.populations])
    metrics, manifest = result.to_dict(), folder.manifest
    sections = [
        _raster(spikes, why),
        _populations(result.populations),
        _rates(spikes, why),
        _states(folder.path, result.probes),
        parts.measures(metrics, "the run"),
        parts.energy(metrics),
        parts.provenance(manifest, metrics, config_text(folder)),
    ]
    return page.page(
        title=f"{result.network or manifest.get('name', 'A network')}, {result.units:,} units",
        kicker="neurosim run",
        lead=_lead(folder, result),
        headline=page.tiles(_tiles(result)),
        sections=sections,
        foot=parts.foot(manifest, folder.path.name),
    )


def _read(run: Path, names: Sequence[str]) -> tuple[dict[str, Spikes], str]:
    if not (run / SPIKES).is_file():
        return {}, f"The run folder has no {SPIKES}."
    try:
        return {
            name: files.read_sonata(run / SPIKES, name) for name in names[:MAX_DRAWN]
        }, "No population was recorded."
    except NeurosimError as error:
        return {}, f"The spikes of this run cannot be shown: {error}"


def _lead(folder: RunFolder, result: NetworkResult) -> str:
    seconds, clock, manifest = result.simulated_seconds, result.clock, folder.manifest
    words = [
        f"{numbers.seconds(seconds)} simulated" if seconds else None,
        f"in steps of {numbers.seconds(clock)}" if clock else "in continuous time" if seconds else None,
        f"seed {manifest.get('seed') if result.seed is None else result.seed}",
        date(manifest.get("started")),
        f"the run failed: {manifest.get('reason')}" if manifest.get("status") == "failed" else None,
    ]
    return ", ".join(word for word in words if word) + "."


def _tiles(result: NetworkResult) -> list[Child]:
    measures, energy = table_of(result.measures), table_of(result.energy)
    operations = table_of(measures.get("synaptic_operations"))
    done = [number(operations.get(name)) for name in ("Effective_ACs", "Effective_MACs")]
    known = None if None in done else sum(value or 0 for value in done)
    units, seconds, spikes = result.units, result.simulated_seconds, result.spikes
    rate = spikes / units / seconds if units and seconds and spikes is not None else None
    factor = result.real_time_factor
    return [
        page.tile("Spikes", numbers.plain(spikes), f"{numbers.plain(rate, 3)} per unit and second"),
        page.tile(
            "Activation sparsity", numbers.percent(measures.get("activation_sparsity"), 2), "of outputs, step by step"
        ),
        page.tile("Synaptic operations", numbers.si(known), [against(number(operations.get("Dense")), known)]),
        page.tile("Energy estimate", numbers.span(energy.get("memory_aware"), "J"), energy_note(energy, "of the run")),
        page.tile("Real-time factor", numbers.plain(factor, 3), speed(factor)),
    ]


def _raster(spikes: Mapping[str, Spikes], why: str) -> Section:
    title, lead = "Raster", f"A row is a unit, unit 0 at the foot; of more than {ROWS} units, as many spread evenly."
    if not spikes:
        return Section("raster", title, None, page.notice(why))
    panels = []
    for name, each in spikes.items():
        some = _some(each)
        note = f"{len(each):,} spikes of {each.size:,} units"
        panels.append(plots.Panel(name, pixels.raster(some, some.size, COLUMNS), max(some.size, 12), note))
    longest = max(each.duration for each in spikes.values())
    picture = plots.strips(panels, longest, "Raster of every population", plots.WIDE)
    return Section("raster", title, lead, page.cards([page.figure(picture, None)]))


def _some(spikes: Spikes) -> Spikes:
    """The spikes of ROWS units, evenly spread, or of all."""
    chosen = np.unique(np.linspace(0, spikes.size - 1, min(spikes.size, ROWS)).round().astype(np.int64))
    place = np.full(spikes.size, -1, np.int32)
    place[chosen] = np.arange(chosen.size)
    units = place[spikes.units]
    return Spikes.unchecked(spikes.times[units >= 0], units[units >= 0], chosen.size, spikes.duration)


_HEADS: Sequence[Child | page.Cell] = (
    "Population",
    "Model",
    *(page.Cell("n", title) for title in ("Units", "Spikes", "Spikes/s a unit", "CV of intervals", "Silent units")),
)


def _populations(populations: Sequence[PopulationResult]) -> Section:
    title = "Populations"
    lead = "CV: the coefficient of variation of the intervals between a unit's spikes, 1 for a Poisson process."
    if not populations:
        return Section("populations", title, None, page.notice("The run recorded no population."))
    rows: list[Sequence[Child | page.Cell]] = [
        (
            each.name,
            each.model,
            *(
                parts.number_cell(numbers.plain(value, 3))
                for value in (each.size, each.spikes, each.rate_hz, each.cv, each.silent)
            ),
        )
        for each in populations
    ]
    return Section("populations", title, lead, page.table("What each population did", _HEADS, rows))


def _rates(spikes: Mapping[str, Spikes], why: str) -> Section:
    shown = {name: each for name, each in spikes.items() if each.duration > 0}
    if not shown:
        return Section("rates", "Rates", None, page.notice(why))
    figures = []
    for name, each in shown.items():
        curve = course([each], "var(--spike)", "spikes per unit and second", each.size)
        figures += [
            page.figure(curve, f"{name}: rate over time, in bins of 5 ms."),
            firing([each], f"units of {name}"),
            intervals([each], f"a unit of {name}"),
        ]
    return Section("rates", "Rates", "Over time, over units, and from spike to spike.", page.cards(figures))


def _states(run: Path, probes: Sequence[ProbeResult]) -> Section:
    title = "States"
    if not probes:
        return Section("states", title, None, page.notice("The run recorded no state; add a [[probe]] to its config."))
    try:
        stored = files.read_arrays(run / STATES)
    except NeurosimError as error:
        return Section("states", title, None, page.notice(f"The states of this run cannot be shown: {error}"))
    figures = [_probe(probe, stored[probe.name]) for probe in probes[:MAX_DRAWN] if probe.name in stored]
    return Section("states", title, f"The first {UNITS} units of each probe.", page.cards(figures))


def _probe(probe: ProbeResult, values: NDArray) -> Html:
    step, name = probe.interval or 1e-3, probe.name
    fine = max(1, -(-len(values) // (2 * COLUMNS)))
    shown = np.asarray(values[::fine, :UNITS], np.float64)
    curves = [plots.Line(column, step * fine, _COLOURS[k % len(_COLOURS)]) for k, column in enumerate(shown.T)]
    every = f", each {fine}th sample" if fine > 1 else ""
    words = (
        f"{name}: {min(values.shape[1], UNITS)} of {values.shape[1]:,} units, one sample each {numbers.seconds(step)}"
    )
    low = float(shown.min()) if shown.size else 0.0
    return page.figure(
        plots.lines(curves, len(values) * step, probe.variable, words, low, plots.WIDE),
        f"{words}{every}.",
    )


_COLOURS = ("var(--spike)", "var(--on)", "var(--off)", "var(--accent)", "var(--soft)")
