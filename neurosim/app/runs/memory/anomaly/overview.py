"""Overview of an anomaly detector's run: alarms, the error of the prediction beside two baselines, and time."""

from __future__ import annotations

from pathlib import Path

from .....base.shown import counted
from ....report import numbers
from ...frame.facts import Fact, Overview, Table, digest
from .config import STDIN
from .result import AnomalyResult

MAX_ALARMS = 20  # alarms in the table
LABELS = {"predicted": "Mean error", "last": "Error of last value", "season": "Error of season"}
NOTES = {
    "predicted": "of the predicted values",
    "last": "of the value before",
    "season": "of the value nearest in time to one season before",
}


def overview_of(result: AnomalyResult) -> Overview:
    """Return what page and terminal show of a run."""
    named = result.watched or "the table"
    source = "standard input" if result.table == STDIN else Path(result.table).name
    lead = [f"{counted(result.records, 'record')} of {source}"]
    if result.earlier:
        lead.append(f"after {numbers.plain(result.earlier)} of an earlier run")
    times = f"times of {result.time}" if result.time else "without times"
    lead.append(f"reads {', '.join(result.read)}, {times}")
    lead.append(f"{numbers.plain(result.columns)} columns, {numbers.plain(result.cells)} cells")
    return Overview(
        title=f"Anomalies of {named}",
        lead=lead,
        facts=[
            Fact(label="Alarms", value=len(result.alarms), note=_rule(result)),
            *_order(result),
            *_errors(result),
            Fact(
                label="Time of a record",
                value=result.seconds,
                format=_milliseconds,
                note="of one core, learning included, median",
                of_clock=True,
            ),
            Fact(
                label="Grown",
                value=result.synapses,
                format=numbers.si,
                note=f"synapses on {numbers.si(result.segments)} segments",
                tile=False,
            ),
            digest("Digest of scores", result.digest),
        ],
        tables={"alarms": _alarms(result)} if result.alarms else {},
    )


def _rule(result: AnomalyResult) -> str:
    threshold = numbers.three(result.threshold)
    if result.records + result.earlier <= result.probation:
        return f"all records are in the probation of {numbers.plain(result.probation)}; --probation sets another"
    return f"score of at least {threshold}, after {numbers.plain(result.probation)} records"


def _order(result: AnomalyResult) -> list[Fact]:
    if not result.unordered:
        return []
    note = "records earlier than the one before; sort the table by time"
    return [Fact(label="Out of order", value=result.unordered, note=note)]


def _errors(result: AnomalyResult) -> list[Fact]:
    shown = []
    for name, label in LABELS.items():
        if name not in result.errors:
            continue
        note = NOTES[name]
        if name == "predicted":
            note += f", over {numbers.plain(result.compared)} records"
        if name == "season":
            note += f", {numbers.plain(result.season)} records"
        shown.append(Fact(label=label, value=result.errors[name], note=note))
    return shown


def _milliseconds(value: object) -> str:
    if isinstance(value, float):
        return f"{1e3 * value:.2f} ms"
    return numbers.plain(value)


def _alarms(result: AnomalyResult) -> Table:
    """Return the first alarms as a table."""
    rows = [(text, numbers.fixed(score, 3)) for text, score in zip(result.alarms, result.scores, strict=True)]
    caption = "Alarms; of neighbouring records the first alone."
    if len(rows) > MAX_ALARMS:
        caption = f"The first {MAX_ALARMS} of {len(rows)} alarms; scores.csv has all."
    return Table(caption, ("Time", "Score"), rows[:MAX_ALARMS])
