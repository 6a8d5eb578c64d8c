"""The results of an anomaly detector's run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...frame.kind import RunResult


@dataclass(frozen=True, kw_only=True)
class AnomalyResult(RunResult):
    """The results of an anomaly detector's run.

    Attributes:
        table: name of the file, "-" for standard input.
        watched: column whose values are predicted; "" for none.
        time: column of times; "" for none.
        read: columns of values and categories that are read.
        records: number of records, and `earlier`, those that the detector had learned in an earlier run.
        unordered: number of records whose time is earlier than that of the record before.
        probation: records at the beginning without alarms.
        threshold: score of an alarm.
        alarms: times of the alarms; of alarms at neighbouring records the first alone.
        scores: their scores.
        errors: mean absolute error after the probation of the prediction ("predicted"), the last value ("last"), and a
            season before ("season").
        season: records of a season; None where the times name none.
        compared: number of records of the errors.
        columns, cells, segments, synapses: of the memory.
        seconds: median CPU time of a record, s, of those that this process computed.
        digest: SHA-256 of scores.csv.
    """

    kind: str = "anomaly"
    table: str = ""
    watched: str = ""
    time: str = ""
    read: tuple[str, ...] = ()
    seed: int | None = None
    records: int = 0
    earlier: int = 0
    unordered: int = 0
    probation: int = 0
    threshold: float | None = None
    alarms: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    errors: Mapping[str, float] = field(default_factory=dict)
    season: int | None = None
    compared: int = 0
    columns: int = 0
    cells: int = 0
    segments: int = 0
    synapses: int = 0
    seconds: float | None = None
    digest: str = ""

    def notes(self) -> Mapping[str, str]:
        return {"scores_digest": self.digest}
