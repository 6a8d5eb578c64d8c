"""Trainings of a spiking network on a dataset."""

from ..frame.kind import Kind
from .config import TrainConfig
from .result import TrainResult

KIND = Kind(
    package=__name__,
    name="train",
    title="a training",
    resume="train",
    result=TrainResult,
    reconfigure=TrainConfig.reconfigure,
    schemas={"train": TrainConfig.json_schema},
)
