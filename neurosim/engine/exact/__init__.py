"""The engine in continuous time: no grid, every spike at its own moment."""

from .plan import Plan as Plan
from .plan import Route as Route
from .plan import compile_exact as compile_exact
from .run import run as run

__all__ = ["Plan", "Route", "compile_exact", "run"]
