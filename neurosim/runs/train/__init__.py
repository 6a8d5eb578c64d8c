"""Trainings of a spiking network on a dataset."""

from ..kind import Kind
from . import page, table
from .config import reconfigure
from .result import TrainResult

KIND = Kind(
    name="train",
    title="a training",
    resume="train",
    result=TrainResult,
    reconfigure=reconfigure,
    page=page.render,
    table=table.render,
)
