"""Overview of a sequence memory's run: what it learned, what it expects, and what that costs."""

from __future__ import annotations

from ....report import numbers
from ...frame.facts import Fact, Overview, Table, digest, energies, named
from .result import GroupAnomaly, SequenceResult

GROUPS = {
    "learned": "learned recordings",
    "reversed": "the same, windows in reverse order",
    "new": "new recordings",
}
CAPTION = (
    "Anomaly of each group, with its 95 % interval over recordings; the last column is the area under the ROC curve, "
    "1 where no two overlap."
)


def overview_of(result: SequenceResult) -> Overview:
    """Return what page and terminal show of a run."""
    groups = {name: result.groups[name] for name in GROUPS if name in result.groups}
    return Overview(
        title=f"{named(result.title, result.dataset, 'A sequence memory')}: what comes next",
        lead=[
            f"{numbers.plain(result.samples)} recordings in windows of {numbers.si(result.window_s, 's')}",
            f"{numbers.plain(result.columns)} columns, {numbers.plain(result.cells)} cells",
        ],
        facts=[
            _predicted(result),
            _separation(
                groups, "new", "Told from new", "chance that a new recording surprises more than a learned one"
            ),
            _separation(groups, "reversed", "Told from reversed", "the same windows in reverse order"),
            Fact(
                label="Grown",
                value=result.synapses,
                format=numbers.si,
                note=f"synapses on {numbers.si(result.segments)} segments",
            ),
            *energies(result.energy),
            *_course(result),
            digest("Anomaly digest", result.digest),
        ],
        tables={
            "groups": Table(
                CAPTION,
                ("Recordings", "Number", "Anomaly", "Columns predicted", "Told from learned"),
                [_row(GROUPS[name], group) for name, group in groups.items()],
            )
        },
    )


def _predicted(result: SequenceResult) -> Fact:
    learned = result.groups.get("learned")
    share = numbers.percent(None if learned is None else learned.predicted)
    note = f"of active columns; {share} of all columns were predicted"
    return Fact(label="Predicted", value=result.accuracy, format=numbers.percent, note=note)


def _separation(groups: dict[str, GroupAnomaly], name: str, label: str, note: str) -> Fact:
    value = groups[name].separation if name in groups else None
    return Fact(label=label, value=value, format=numbers.fixed, note=note)


def _course(result: SequenceResult) -> list[Fact]:
    """Return the anomaly of the last pass beside the anomaly of the first."""
    if not result.passes:
        return []
    first = result.passes[0]
    last = result.passes[-1]
    note = f"of active columns, in pass {len(result.passes)}; {numbers.three(first.anomaly)} in pass 1"
    return [Fact(label="Anomaly while learning", value=last.anomaly, format=numbers.three, note=note, tile=False)]


def _row(name: str, group: GroupAnomaly) -> tuple[str, ...]:
    low, high = (numbers.three(end) for end in group.interval)
    return (
        name,
        numbers.plain(group.recordings),
        f"{numbers.three(group.anomaly)} ({low} to {high})",
        numbers.percent(group.predicted),
        "" if group.separation is None else numbers.fixed(group.separation),
    )
