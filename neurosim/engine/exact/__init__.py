"""The engine in continuous time: no grid, every spike at its own moment."""

from .network import ExactNetwork as ExactNetwork
from .network import Route as Route
from .network import compile_exact as compile_exact
from .runner import run_exact as run_exact

__all__ = ["ExactNetwork", "Route", "compile_exact", "run_exact"]
