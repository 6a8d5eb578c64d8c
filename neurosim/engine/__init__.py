"""The engine: makes a network ready and runs it, event by event on a grid."""

from .batch import simulate as simulate
from .compile.network import compile_network as compile_network
from .connections import Connections as Connections
from .connections import connections as connections
from .live import live as live
from .live import response as response
from .probe import Probe as Probe
from .result import Progress as Progress
from .result import Result as Result
from .simulation import Simulation as Simulation

__all__ = [
    "Connections",
    "Probe",
    "Progress",
    "Result",
    "Simulation",
    "compile_network",
    "connections",
    "live",
    "response",
    "simulate",
]
