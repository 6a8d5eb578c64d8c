"""Runs of the recogniser: a hierarchy of macrocolumns sees every item once and names new ones."""

from ...frame.kind import Kind
from .config import RecogniseConfig
from .result import RecogniseResult

KIND = Kind(
    package=__name__,
    name="recognise",
    title="a run of the recogniser",
    resume="memory recognise",
    result=RecogniseResult,
    reconfigure=RecogniseConfig.reconfigure,
    schemas={"recognise": RecogniseConfig.json_schema},
    heading=("dataset", "split", "samples", "seed", "digest"),
)
