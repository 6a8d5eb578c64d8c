"""Overview of a reconstruction: distances of orbits, and the regions of the network."""

from __future__ import annotations

from ....base.shown import counted
from ...report import numbers
from ..frame.facts import Fact, Overview, Table
from .result import ReconstructResult


def overview_of(result: ReconstructResult) -> Overview:
    """Return what page and terminal show of a run."""
    refined = f", {counted(result.generations, 'generation')} of search" if result.generations else ""
    return Overview(
        title=f"Reconstruction of {result.dataset or 'a system'}",
        lead=[
            f"{numbers.plain(result.steps)} steps of {', '.join(result.names)} learned",
            f"{counted(result.units, 'unit')}, {result.rectified} of them rectified",
            f"{counted(result.updates, 'update')}{refined}",
        ],
        facts=[
            Fact(
                label="D_stsp",
                value=result.d_stsp,
                format=numbers.three,
                note=f"nats, of the states visited; two parts of the series {numbers.three(result.same_d_stsp)}",
            ),
            Fact(
                label="D_H",
                value=result.d_h,
                format=numbers.three,
                note=f"of the power spectra, 0 to 1; two parts of the series {numbers.three(result.same_d_h)}",
            ),
            Fact(label="Regions", value=len(result.regions), note="with over a thousandth of the steps"),
        ],
        tables={"regions": _regions(result)},
    )


def _regions(result: ReconstructResult) -> Table:
    names = [result.symbol(region) for region in result.regions]
    rows = [
        (
            result.symbol(region),
            numbers.three(result.visits[region]),
            *(numbers.three(result.transitions[region][other]) for other in result.regions),
        )
        for region in result.regions
    ]
    return Table(
        "Regions by the signs of the rectified units: share of the steps, and shares of the steps from each to each",
        ("Region", "Steps", *(f"to {name}" for name in names)),
        rows,
    )
